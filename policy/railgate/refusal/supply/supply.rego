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
# description: "Every image, firmware and driver comes from an issuer in `settings.supply.issuers`: by bundles that the host verified, of which each holds and one is of `settings.supply.level`, or, where `settings.supply.declared_accepted`, by the caller's word."
# custom:
#   rule: SUP-04
#   code: artifact_unverified
#   class: evidence_precondition_failed
#   short_name: artifacts_verified
#   message: "The provenance of {artifact} is not accepted: {reason}."
#   solution: "Give a Sigstore bundle that this node can verify (`railgate provenance verify` says which step fails), by one of `settings.supply.issuers` and an identity pinned under `railgate.trust.provenance`; or send it to /v1/provenance before. A declared one must say `verified: true` and name such an issuer."
#   source: "Boot integrity verification; driver/firmware provenance (SUP-01/04)."
artifact_unverified(location, params) := lib.refuse(rego.metadata.rule(), location, params)

refusals contains artifact_unverified(location, params) if {
	not artifacts_verified(lib.kind, lib.declared)
	some list in lists(lib.kind)
	some i, artifact in lib.declared[list]
	place := lib.at(list_at(list), i)
	some [member, reason] in faults_of(artifact, place)
	location := lib.pointer([place, member])
	params := {"artifact": lib.shown(artifact, "name"), "reason": reason}
}

# Most requests bring the caller's word alone, and it counts: then there is nothing to look up.
artifacts_verified(kind, profile) if {
	not any_judged
	not word_refused
	every list in lists(kind) {
		not untrusted(profile[list])
	}
} else if {
	every list in lists(kind) {
		not any_fault(list, profile[list])
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

any_fault(list, artifacts) if {
	some i, artifact in artifacts
	faults_of(artifact, lib.at(list_at(list), i)) != set()
}

# Whether the host found out anything of an artifact, by a bundle.
any_judged if {
	some artifact in input.facts.artifacts
	not by_word(artifact.provenance.status)
}

by_word("declared") := true

by_word("absent") := true

word_refused if settings.supply.declared_accepted[lib.profile] == false

fact_by_place[artifact.pointer] := artifact.provenance if some artifact in input.facts.artifacts

# Where an artifact's provenance is at fault, and why. Without a fact there is the caller's word, as in inputs of 0.1.
faults_of(artifact, place) := word_faults(artifact) if {
	not fact_by_place[place]
} else := word_faults(artifact) if {
	by_word(fact_by_place[place].status)
} else := bundle_faults(artifact, fact_by_place[place]) if {
	fact_by_place[place].status == "verified"
} else := {[member_of(artifact), reason_of(fact_by_place[place])]}

reason_of(fact) := object.get(words, lib.error_of(fact), "a bundle of it could not be verified")

bundle_faults(artifact, fact) := {[member_of(artifact), reason] |
	some reason in [reason |
		some which in ["issuer", "level"]
		reason := short_of(which, fact)
	]
}

short_of("issuer", fact) := concat("", [
	"it is verified, but ",
	lib.shown(fact, "issuer"),
	" is not among the accepted issuers",
]) if {
	not settings.supply.issuers[fact.issuer]
}

short_of("level", fact) := concat("", [
	"it is verified for SLSA build level ",
	shown_level(fact.level),
	", and the least for this governance profile is ",
	shown_level(settings.supply.level[lib.profile]),
]) if {
	not fact.level >= settings.supply.level[lib.profile]
	lib.has(settings.supply.level, lib.profile)
}

shown_level(level) := format_int(level, 10) if {
	is_number(level)
} else := "none"

# Bundles that are kept are in nobody's request: their artifact is at fault as a whole.
member_of(artifact) := "provenance/bundles" if {
	artifact.provenance.bundles
} else := "provenance"

word_faults(artifact) := {["provenance/bundles", "the caller's word alone does not count for this governance profile"]} if {
	is_object(artifact.provenance)
	word_refused
} else := {[fault, reason] |
	some fault in ["provenance/verified", "provenance/issuer"]
	not holds(fault, artifact.provenance)
	reason := word_reasons[fault]
} if {
	is_object(artifact.provenance)
} else := {["provenance", "nothing vouches for it"]}

word_reasons := {
	"provenance/verified": "nobody says that it was verified",
	"provenance/issuer": "its issuer is not among the accepted ones",
}

holds("provenance/verified", provenance) if provenance.verified == true

holds("provenance/issuer", provenance) if settings.supply.issuers[provenance.issuer]

# The steps that a bundle passes, and what it means that it fails one.
words := {
	"unpinned": "bundles cannot be verified, since no trusted root is pinned on this node",
	"too_large": "a bundle is too large or nested too deeply",
	"malformed": "a bundle is malformed",
	"timestamp": "no trusted time of a bundle's signature holds",
	"certificate": "a bundle's certificate was not issued by the pinned authorities at the time of the signature",
	"key": "a bundle names a key that is not pinned",
	"log": "a bundle is not in a pinned transparency log",
	"signature": "a bundle's signature does not hold",
	"statement": "a bundle signs no in-toto statement",
	"subject": "a bundle is not about this artifact",
	"predicate": "a bundle is neither SLSA provenance nor a summary that passed",
	"identity": "nobody who is pinned signed a bundle",
	"builder": "a bundle's builder is not one that its signer is pinned for",
	"source": "a bundle's source is not one that its signer is pinned for",
	"build_type": "a bundle's build type is not one that its signer is pinned for",
}
