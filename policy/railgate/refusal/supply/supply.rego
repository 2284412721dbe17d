# Where images, firmware and drivers come from: pinned by digest, provenance verified by an issuer the policy accepts.
package railgate.refusal.supply

import data.railgate.lib
import data.railgate.settings

# Holds where no rule below refuses.
sound(kind, profile) if {
	artifacts_pinned(kind, profile)
	artifacts_verified(kind, profile)
}

# METADATA
# title: An artifact is not pinned by digest
# description: "Every image, firmware and driver is pinned by a sha256 digest; a container lists at least one image, a vm at least one firmware."
# custom:
#   rule: SUP-01
#   code: artifact_unpinned
#   class: evidence_precondition_failed
#   short_name: artifacts_pinned
#   message: "{artifact} is not pinned by a sha256 digest, or the list is missing or too short."
#   solution: "Name the artifact by its digest (`reference` ending in @sha256:<64 hex>, `digest: sha256:<64 hex>`), and list what the envelope needs."
#   source: "Image provenance and integrity verification (SUP-01/04)."
artifact_unpinned(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains artifact_unpinned(location, params) if {
	not artifacts_pinned(lib.kind, lib.declared)
	some location, artifact in unpinned
	params := {"artifact": artifact}
}

# The lists of artifacts that each envelope has, in the order of the host's facts. Tests of equality and not a table: a
# comparison is cheaper in WASM than a lookup.
lists(kind) := ["images"] if {
	kind == "container"
} else := ["firmware", "drivers", "images"] if {
	kind == "vm"
} else := ["images"] if {
	kind == "tee"
} else := []

artifacts_pinned(kind, profile) if {
	names := lists(kind)
	every list in names {
		listed(list, kind, profile)
	}
	not any_unpinned(names)
	covered(profile, names)
}

any_unpinned(names) if {
	names != []
	some artifact in input.facts.artifacts
	not artifact.pinned == true
}

listed(list, kind, profile) if {
	is_array(profile[list])
	not too_short(list, kind, profile[list])
}

too_short("firmware", "vm", []) := true

too_short("images", "container", []) := true

# Facts that do not cover what is listed one for one say nothing about any of it. One list needs no sum: arithmetic is
# slow in WASM, and most requests have one list.
covered(profile, names) if {
	names == ["images"]
	count(input.facts.artifacts) == count(profile.images)
} else if {
	count(input.facts.artifacts) == sum([count(profile[list]) | some list in names])
} else if {
	names == []
}

unpinned[location] := location if {
	any_unpinned(lists(lib.kind))
	some artifact in input.facts.artifacts
	not artifact.pinned == true
	location := fact_at(artifact)
}

unpinned[location] := list if {
	some list in lists(lib.kind)
	not listed(list, lib.kind, lib.declared)
	location := list_at(list)
}

unpinned[location] := list if {
	some list in lists(lib.kind)
	not covered(lib.declared, lists(lib.kind))
	location := list_at(list)
}

fact_at(artifact) := concat("/", [artifact.pointer, pin_member(artifact.pointer)]) if {
	is_string(artifact.pointer)
} else := "/workload/envelope"

pin_member(pointer) := "reference" if {
	contains(pointer, "/images/")
} else := "digest"

list_at(name) := lib.pointer(["/workload/envelope", lib.kind, name])

# METADATA
# title: An artifact's provenance is not verified
# description: "The provenance of every image, firmware and driver was verified, by an issuer in `settings.supply.issuers`."
# custom:
#   rule: SUP-04
#   code: artifact_unverified
#   class: evidence_precondition_failed
#   short_name: artifacts_verified
#   message: "The provenance of {artifact} was not verified by an accepted issuer."
#   solution: "Verify the artifact's provenance and have it issued by one of `settings.supply.issuers`."
#   source: "Boot integrity verification; driver/firmware provenance (SUP-01/04)."
artifact_unverified(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains artifact_unverified(location, params) if {
	not artifacts_verified(lib.kind, lib.declared)
	some list in lists(lib.kind)
	some i, artifact in lib.declared[list]
	not trusted(artifact)
	some member in provenance_faults(artifact)
	location := lib.pointer([lib.at(list_at(list), i), member])
	params := {"artifact": lib.shown(artifact, "name")}
}

artifacts_verified(kind, profile) if {
	every list in lists(kind) {
		not untrusted(profile[list])
	}
}

untrusted(artifacts) if {
	some artifact in artifacts
	not trusted(artifact)
}

trusted(artifact) if {
	artifact.provenance.verified == true
	settings.supply.issuers[artifact.provenance.issuer]
}

provenance_faults(artifact) := {fault |
	some fault in ["provenance/verified", "provenance/issuer"]
	not holds(fault, artifact.provenance)
} if {
	is_object(artifact.provenance)
} else := {"provenance"}

holds("provenance/verified", provenance) if provenance.verified == true

holds("provenance/issuer", provenance) if settings.supply.issuers[provenance.issuer]
