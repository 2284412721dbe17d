#!/usr/bin/env python3
"""A second verifier of exports, written apart from Railgate's: Python's standard library and `cryptography`, nothing else.

    python3 audit/verify.py export.tar.gz --jwks producer.jwks.json     # one export or several; a folder, .tar.gz or .tar
    python3 audit/verify.py export.tar.gz --trust-embedded-keys         # does it agree with itself? Proves nothing about who signed

Exit code 0: every check passed. 1: one did not. 2: used wrongly, or what was named is no export. 3: it cannot be read.
It checks what docs/audit.md lists, under the same names, and reads an export into memory. What formats it follows:
RFC 8785 (canonical JSON), RFC 7515 and 8037 (records), RFC 7638 (thumbprints), RFC 6962 (trees), c2sp.org/signed-note,
c2sp.org/tlog-checkpoint.
"""
import argparse
import base64
import datetime
import hashlib
import json
import math
import os
import re
import sys
import zlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SAFE = 2**53 - 1
SCHEMAS = ("ecs-evidence-export-v2", "ecs-evidence-export-v1")
FILES = ("manifest.json", "keys.json", "verifier-inputs.json", "profile-claim.json", "checkpoint",
         "chain-segment.json", "events.jsonl", "records.jws", "proofs.json")
TEXTS = ("schema_version", "export_id", "created_at", "provider_id", "tenant_id", "evidence_profile_id", "profile_version",
         "hash_profile_id", "verifier_expectations_ref", "chain_id", "chain_segment_ref", "bundle_hash")
BASELINE = ("id", "event_type", "occurred_at", "tenant_id", "actor", "correlation_id", "outcome", "evidence_profile_id",
            "hash_profile_id", "evidence_pointer", "policy_snapshot_id", "authority_snapshot_id")
CUSTODY = ("authority", "key_custody")
PROFILES = {
    "ecs-evidence-baseline": ((), False),
    "ecs-evidence-admissible": ((), True),
    "ecs-evidence-ncp": (CUSTODY, True),
    "ecs-evidence-regulated-ml": (CUSTODY + ("data_use_posture", "dataset_manifest", "model_provenance"), True),
}
METHODS = {
    "event_hash_method": "sha256-rfc8785-without-event_hash",
    "segment_hash_method": "rfc6962-merkle-root-over-raw-event-hashes",
    "bundle_hash_method": "rfc6962-merkle-root-over-raw-event-hashes",
}
HEAD = ("evidence_profile_id", "profile_version", "verifier_expectations_ref", "producer_identity")
EMPTY_SNAPSHOT = "sha256:" + hashlib.sha256(b"[]").hexdigest()
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
ARTIFACT = re.compile(r"artifacts/[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")
UNPACKED_MAX = 4 * 1024**3


class Unreadable(Exception):
    """The archive is none, or is built in a way that no export is."""


class Malformed(ValueError):
    """Bytes that are not what they have to be."""


# --- bytes and text ------------------------------------------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).digest()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def is_digest(value):
    return isinstance(value, str) and DIGEST.fullmatch(value) is not None


def pointed(value):
    """The digest in eosc://evidence/sha256:<hex>, or None."""
    rest = value.removeprefix("eosc://evidence/") if isinstance(value, str) else ""
    return rest if rest != value and is_digest(rest) else None


def b64url(text):
    """Bytes of unpadded base64url that is written in the one way that encodes them."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", text) or len(text) % 4 == 1:
        raise Malformed("no base64url")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise Malformed("base64url with bits to spare")
    return data


def b64(text, length=None):
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise Malformed("no base64") from error
    if base64.b64encode(data).decode() != text or (length is not None and len(data) != length):
        raise Malformed("no base64 of that length")
    return data


def parse(data):
    """JSON in UTF-8: no member twice, no number that is none, nothing beyond 2^53-1."""
    def members(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Malformed("a member comes twice")
        return found

    def refuse(_):
        raise Malformed("no number")

    def whole(text):
        value = int(text)
        if abs(value) > SAFE:
            raise Malformed("a number beyond 2^53-1")
        return value

    try:
        text = data.decode("utf-8") if isinstance(data, (bytes, bytearray)) else data
        return json.loads(text, object_pairs_hook=members, parse_constant=refuse, parse_int=whole)
    except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
        raise Malformed("no JSON in UTF-8") from error


def number(value):
    """As ECMAScript writes it (RFC 8785, 3.2.2.3)."""
    if not math.isfinite(value) or abs(value) > SAFE:
        raise Malformed("no number")
    if value == int(value):
        return str(int(value))
    mantissa, _, exponent = f"{value!r}".partition("e")
    if exponent == "" and abs(value) >= 1e-6:
        return mantissa
    digits = mantissa.lstrip("-").replace(".", "")
    power = int(exponent or 0)
    sign = "-" if value < 0 else ""
    if exponent and -7 <= power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{digits}"
    return f"{sign}{digits[0]}{'.' + digits[1:] if len(digits) > 1 else ''}e{'+' if power > 0 else '-'}{abs(power)}"


def canonical(value, depth=0):
    """RFC 8785."""
    if depth > 256:
        raise Malformed("too deep")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        value.encode("utf-8")  # no lone surrogates
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, list):
        return "[" + ",".join(canonical(item, depth + 1) for item in value) + "]"
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{canonical(name)}:{canonical(value[name], depth + 1)}" for name in names) + "}"


def canonical_bytes(value):
    try:
        return canonical(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Malformed("a lone surrogate") from error


def time_ms(value):
    """RFC 3339 as milliseconds; NaN for anything else."""
    try:
        return datetime.datetime.fromisoformat(str(value)).timestamp() * 1000
    except ValueError:
        return math.nan


def verifies(key, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except (InvalidSignature, ValueError):
        return False


# --- trees (RFC 6962) ----------------------------------------------------------------------------------------------


def leaf_hash(data):
    return sha256(b"\0" + data)


def tree_root(hashes):
    if not hashes:
        return sha256(b"")
    level = [leaf_hash(each) for each in hashes]
    while len(level) > 1:
        pairs = [sha256(b"\1" + level[at] + level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def root_from(leaf, index, size, path):
    """The root that an inclusion proof leads to (RFC 9162, 2.1.3.2); None where it does not fit."""
    node, last, result = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if node % 2 or node == last:
            result = sha256(b"\1" + sibling + result)
            while node % 2 == 0 and node:
                node, last = node >> 1, last >> 1
        else:
            result = sha256(b"\1" + result + sibling)
        node, last = node >> 1, last >> 1
    return result if last == 0 else None


# --- archives ------------------------------------------------------------------------------------------------------


def checked_name(given):
    name = given.removeprefix("./")
    if len(name) > 255 or not NAME.fullmatch(name) or any(re.fullmatch(r"\.+", part) for part in name.split("/")):
        raise Unreadable(f"{given[:60]!r} is no name of a file in an export")
    return name


def read_folder(path):
    files = {}
    for folder, folders, names in os.walk(path):
        inner = os.path.relpath(folder, path)
        if inner not in (".", "artifacts"):
            raise Unreadable(f"{inner} is no folder of an export")
        for name in folders + names:
            full = os.path.join(folder, name)
            if os.path.islink(full) or not (os.path.isfile(full) or os.path.isdir(full)):
                raise Unreadable(f"{name} is no plain file")
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                files[checked_name(os.path.normpath(os.path.join(inner, name)))] = file.read()
    return files


def read_archive(data):
    """Files of a .tar.gz or .tar, read strictly: plain files, each once, nothing between or behind them."""
    if data[:2] == b"\x1f\x8b":
        unpack = zlib.decompressobj(31)
        try:
            data, packed = unpack.decompress(data, UNPACKED_MAX), data
        except zlib.error as error:
            raise Unreadable("it is no gzip") from error
        if not unpack.eof or unpack.unused_data:
            raise Unreadable("the gzip stream is cut off, too large, or something follows it")
    files, at = {}, 0
    while True:
        header = data[at:at + 512]
        if len(header) < 512:
            raise Unreadable("it ends without an end")
        if header == bytes(512):
            if len(data) < at + 1024 or any(data[at:]):
                raise Unreadable("its end is missing, or something stands behind it")
            return files
        kind, size, name = read_header(header)
        content, end = data[at + 512:at + 512 + size], at + 512 + (size + 511) // 512 * 512
        if len(content) < size or len(data) < end or any(data[at + 512 + size:end]):
            raise Unreadable(f"{name} is cut off, or something stands behind it")
        at = end
        if kind in "xg":
            if re.search(rb"(?:^|\n)\d+ (?:path|linkpath|size|GNU\.sparse[^=]*)=", content):
                raise Unreadable("an extended header renames, links or resizes")
        elif kind == "5":
            if name.removeprefix("./").rstrip("/") not in ("", ".", "artifacts"):
                raise Unreadable(f"{name} is no folder of an export")
        elif kind in "0\0":
            name = checked_name(name)
            if name in files:
                raise Unreadable(f"{name} is in it twice")
            files[name] = content
        else:
            raise Unreadable(f"{name} is no plain file")


def read_header(header):
    total = sum(header) - sum(header[148:156]) + 8 * 32
    try:
        stated = int(header[148:156].strip(b"\0 "), 8)
        size = int(header[124:136].strip(b"\0 "), 8)
    except ValueError as error:
        raise Unreadable("a header holds no numbers") from error
    if stated != total:
        raise Unreadable("a header's checksum is wrong")
    name, prefix = (header[a:b].split(b"\0")[0].decode("latin-1") for a, b in ((0, 100), (345, 500)))
    is_posix = header[257:263] == b"ustar\0"
    return chr(header[156]), size, f"{prefix}/{name}" if prefix and is_posix else name


# --- keys ----------------------------------------------------------------------------------------------------------


def public_key(jwk):
    if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519" or jwk.get("alg", "EdDSA") not in ("EdDSA", "Ed25519"):
        raise Malformed("no Ed25519 key")
    key = b64url(jwk.get("x"))
    if len(key) != 32:
        raise Malformed("no Ed25519 key")
    return key


def thumbprint(jwk):
    text = '{"crv":"Ed25519","kty":"OKP","x":"%s"}' % jwk["x"]
    return base64.urlsafe_b64encode(sha256(text.encode())).rstrip(b"=").decode()


def read_pins(jwks):
    """kid -> (public key, or None of another role; when it ended in ms, or None). Keys of other kinds are passed over."""
    pins = {}
    for jwk in jwks["keys"]:
        if "d" in jwk:
            raise Malformed("a pinned key is a private key")
        try:
            key = public_key(jwk)
        except Malformed:
            continue
        ends = [time_ms(jwk[name]) for name in ("retired_at", "compromised_at") if jwk.get(name) is not None]
        if any(math.isnan(end) for end in ends):
            raise Malformed("a pinned key's end is no time")
        pins[thumbprint(jwk)] = (key if jwk.get("role", "event") == "event" else None, min(ends, default=None))
    if not pins:
        raise Malformed("no pinned key is an Ed25519 public key")
    return pins


def read_jws(text, typ):
    """(kid, payload, signed bytes, signature) of a compact JWS of exactly this type."""
    parts = text.split(".")
    if len(parts) != 3:
        raise Malformed("no compact JWS")
    header = parse(b64url(parts[0]))
    if not isinstance(header, dict) or set(header) != {"alg", "kid", "typ"} or not isinstance(header["kid"], str):
        raise Malformed("no header of a record")
    signature = b64url(parts[2])
    if header["alg"] != "EdDSA" or header["typ"] != typ or len(signature) != 64:
        raise Malformed("no header of a record")
    return header["kid"], b64url(parts[1]), f"{parts[0]}.{parts[1]}".encode(), signature


def read_head(text):
    """(origin, size, root) of a checkpoint's text (c2sp.org/tlog-checkpoint)."""
    origin, size, root, *more = text[:-1].split("\n")
    if not text.endswith("\n") or not re.fullmatch(r"0|[1-9]\d{0,15}", size) or not origin or "" in more:
        raise Malformed("no checkpoint")
    return origin, int(size), b64(root, 32)


def read_since(text):
    """An earlier checkpoint, with signatures or without: (its text, its head)."""
    return text, read_head(text.rpartition("\n\n")[0] + "\n" if "\n\n" in text else text)


def lines_of(data):
    lines = data.split(b"\n")
    return lines[:-1] if lines and lines[-1] == b"" else lines


# --- the checks ----------------------------------------------------------------------------------------------------

CHECKS = ("archive", "manifest", "manifest_signature", "files", "methods", "keys", "signer", "events", "event_hashes", "chain",
          "records", "record_signatures", "key_ranges", "segment", "segment_hash", "segment_signature", "bundle_hash",
          "checkpoint", "inclusion", "artifacts", "policies", "profile", "ecs", "since")


class Verification:
    """Every check of one export; `faults` is what is wrong, by check. A check that cannot be carried out has failed."""

    def __init__(self, files, pins=None, trust_embedded=False, since=None):
        self.files, self.pins, self.trust_embedded, self.since = files, pins, trust_embedded, since
        self.faults, self.erased = {}, []
        self.manifest = self.json("manifest.json", "manifest", {})
        if not isinstance(self.manifest, dict):
            self.manifest = {}
        self.inputs = self.json("verifier-inputs.json", "methods", {})
        self.segment = self.json("chain-segment.json", "segment", {})
        self.scope = self.read_scope()
        self.keys = self.read_keys()
        self.event_keys = {kid: key for kid, key in self.keys.items() if key["role"] == "event"}
        self.events = self.read_events()
        self.records = self.read_records()
        self.note = self.read_checkpoint()

    def fault(self, check, message):
        self.faults.setdefault(check, message)

    def json(self, name, check, default):
        if name not in self.files:
            self.fault(check, f"there is no {name}")
            return default
        try:
            return parse(self.files[name])
        except Malformed as error:
            self.fault(check, f"{name}: {error}")
            return default

    def run(self):
        for check in (self.check_manifest, self.check_methods, self.check_chain, self.check_signer, self.check_ranges,
                      self.check_segment, self.check_signatures, self.check_rotations, self.check_inclusion,
                      self.check_artifacts, self.check_files, self.check_profile, self.check_form, self.check_since):
            try:
                check()
            except (Malformed, KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
                self.fault({"chain": "chain", "ranges": "key_ranges", "signatures": "manifest_signature", "rotations": "keys",
                            "form": "ecs"}.get(check.__name__[6:], check.__name__[6:]), f"it cannot be carried out: {error!r}")
        return self

    # what is read

    def read_scope(self):
        scope = self.manifest.get("scope")
        first, last = (scope.get("from_sequence"), scope.get("to_sequence")) if isinstance(scope, dict) else (None, None)
        whole = all(isinstance(each, int) and not isinstance(each, bool) for each in (first, last))
        return (first, last) if whole and 0 <= first <= last else None

    def read_keys(self):
        jwks = self.json("keys.json", "keys", {})
        listed = jwks.get("keys") if isinstance(jwks, dict) else None
        keys = {}
        for jwk in listed if isinstance(listed, list) else []:
            try:
                kid, first, last = jwk["kid"], jwk["from_sequence"], jwk["to_sequence"]
                if "d" in jwk or "k" in jwk:
                    raise Malformed("a private key, which is public now")
                entry = {"key": public_key(jwk), "role": jwk["role"], "from": first, "to": last,
                         "compromised": time_ms(jwk["compromised_at"]) if "compromised_at" in jwk else None}
                if kid != thumbprint(jwk) or jwk["role"] not in ("event", "log", "producer") or kid in keys:
                    raise Malformed("not called by its thumbprint, without a role, or there twice")
                if type(first) is not int or first < 0 or (last is not None and (type(last) is not int or last < first)):
                    raise Malformed("no range of sequences")
                if entry["compromised"] is not None and math.isnan(entry["compromised"]):
                    raise Malformed("compromised_at is no time")
                keys[kid] = entry
            except (Malformed, KeyError, TypeError, AttributeError) as error:
                self.fault("keys", f"a key of keys.json: {error!r}")
        if not isinstance(listed, list) or not any(key["role"] == "event" for key in keys.values()):
            self.fault("keys", "there is no event key")
        self.hand_overs = jwks.get("hand_overs", []) if isinstance(jwks, dict) else []
        return keys

    def in_order(self):
        return sorted(self.event_keys.items(), key=lambda item: item[1]["from"])

    def read_events(self):
        if "events.jsonl" not in self.files:
            self.fault("events", "there is no events.jsonl")
        events = []
        for line in lines_of(self.files.get("events.jsonl", b"")):
            try:
                event = parse(line)
                if not isinstance(event, dict) or canonical_bytes(event) != line:
                    raise Malformed("no canonical JSON object")
                missing = [name for name in BASELINE if not isinstance(event.get(name), str) or event[name] == ""]
                if missing:
                    self.fault("events", f"line {len(events) + 1} has no {missing[0]}")
                if event.get("outcome") == "refused" and "refusal_reason_code" not in event:
                    self.fault("events", f"line {len(events) + 1} is refused without a refusal_reason_code")
                rest = {name: value for name, value in event.items() if name != "event_hash"}
                if event.get("event_hash") != digest(canonical_bytes(rest)):
                    self.fault("event_hashes", f"line {len(events) + 1}: event_hash is not the hash of the event")
            except Malformed as error:
                self.fault("events", f"line {len(events) + 1}: {error}")
                event = {}
            events.append(event)
        if not events:
            self.fault("events", "it holds no event")
        return events

    def read_records(self):
        if "records.jws" not in self.files:
            self.fault("records", "there is no records.jws")
        lines = lines_of(self.files.get("records.jws", b""))
        payloads = lines_of(self.files.get("events.jsonl", b""))
        if len(lines) != len(payloads):
            self.fault("records", f"there are {len(payloads)} events and {len(lines)} records")
        records = []
        for at, line in enumerate(lines):
            try:
                kid, payload, signed, signature = read_jws(line.decode("latin-1"), "railgate-event+jws")
            except Malformed as error:
                self.fault("records", f"line {at + 1}: {error}")
                records.append((None, line))
                continue
            if at >= len(payloads) or payload != payloads[at]:
                self.fault("records", f"line {at + 1} holds another event than that line of events.jsonl")
            key = self.event_keys.get(kid)
            if key is None or not verifies(key["key"], signed, signature):
                self.fault("record_signatures", f"line {at + 1}: the signature does not verify with an event key")
            records.append((kid, line))
        return records

    def first(self):
        first = self.events[0].get("sequence") if self.events else None
        return first if type(first) is int else 0

    def read_checkpoint(self):
        """(origin, size, root) of a note that a log key signed."""
        try:
            note = self.files["checkpoint"].decode("utf-8")
            head = origin, _, _ = read_head(note.rpartition("\n\n")[0] + "\n")
            if not self.is_signed(note):
                self.fault("checkpoint", "it is signed by no log key of keys.json")
        except (KeyError, ValueError) as error:
            self.fault("checkpoint", f"it is no signed checkpoint: {error}")
            return None
        chain = str(self.manifest.get("chain_id"))
        if origin != chain and not origin.endswith(f"/{chain}"):
            self.fault("checkpoint", f"it is of the log {origin}, not of {chain}")
        if head[1] < self.first() + len(self.events):
            self.fault("checkpoint", "it does not cover the range")
        return head

    def is_signed(self, note):
        """Whether a log key of keys.json signed a note."""
        text, _, signatures = note.rpartition("\n\n")
        text += "\n"
        origin, signed = text.split("\n")[0], False
        if not signatures.endswith("\n"):
            raise Malformed("no note")
        for line in signatures[:-1].split("\n"):
            dash, name, blob = line.split(" ")
            blob = b64(blob)
            if dash != "\u2014" or not name or len(blob) < 5:
                raise Malformed("no signature of a note")
            for key in self.keys.values():
                named = sha256(origin.encode() + b"\n\x01" + key["key"])[:4]
                if key["role"] == "log" and name == origin and blob[:4] == named:
                    if not verifies(key["key"], text.encode(), blob[4:]):
                        raise Malformed("a log key's signature does not verify")
                    signed = True
        return signed

    # what follows

    def check_manifest(self):
        for name in TEXTS:
            if not isinstance(self.manifest.get(name), str) or self.manifest[name] == "":
                self.fault("manifest", f"it has no {name}")
        if self.manifest.get("schema_version") not in SCHEMAS:
            self.fault("manifest", "its schema is none that this verifier knows")
        identity = self.manifest.get("producer_identity")
        if not isinstance(identity, dict) or not all(isinstance(identity.get(each), str) for each in ("issuer_id", "producer_id")):
            self.fault("manifest", "it has no producer_identity {issuer_id, producer_id}")
        if self.scope is None or math.isnan(time_ms(self.manifest.get("created_at"))):
            self.fault("manifest", "it has no scope, or created_at is no time")
        listed = self.manifest.get("files")
        for path, stated in (listed or {"": None}).items():
            try:
                named = checked_name(path) == path
            except Unreadable:
                named = False
            if not named or not is_digest(stated) or (ARTIFACT.fullmatch(path) and stated[7:] != path[10:]):
                self.fault("manifest", f"files lists {path[:60]!r} by no name, without a digest, or with another")
        for refs in self.manifest.get("artifacts", {}).values():
            if any(self.ref(each) is None for each in refs):
                self.fault("manifest", "artifacts refers to no file under artifacts/")
        if any(not isinstance(each, str) for name in ("erasures", "rotations") for each in self.manifest.get(name, [])):
            self.fault("manifest", "it holds what is no record")

    def ref(self, text):
        if isinstance(text, str) and ARTIFACT.fullmatch(text):
            return "sha256:" + text[10:]
        rest = re.sub(r"^eosc://(?:evidence|artifact)/", "", text) if isinstance(text, str) else ""
        return rest if rest != text and is_digest(rest) else None

    def check_methods(self):
        for name, method in METHODS.items():
            if self.inputs.get(name) != method:
                self.fault("methods", f"{name} is {self.inputs.get(name)!r}; {method} was applied")
        if self.manifest.get("hash_profile_id") != "ecs-hash-v1":
            self.fault("methods", "hash_profile_id is not ecs-hash-v1")

    def check_chain(self):
        first = self.first()
        for at, event in enumerate(self.events):
            if event.get("sequence") != first + at or type(event.get("sequence")) is not int:
                self.fault("chain", f"line {at + 1}: a gap or a wrong order")
            before = self.events[at - 1].get("event_hash") if at else event.get("prev_hash") if first else None
            if event.get("prev_hash") != before or (at + first > 0 and not is_digest(before)):
                self.fault("chain", f"line {at + 1}: prev_hash is not the hash of the event before")
            tenant, chain = event.get("tenant_id"), event.get("chain_id")
            if chain != self.manifest.get("chain_id") or tenant != self.manifest.get("tenant_id"):
                self.fault("chain", f"line {at + 1} is of another stream or tenant")
            if not isinstance(chain, str) or not chain.startswith(f"{tenant}/"):
                self.fault("chain", f"line {at + 1}: the stream is not its tenant's")
        if self.scope is None or (first, first + len(self.events) - 1) != self.scope:
            self.fault("chain", "the events are not those of the range")

    def signers(self):
        signed = [each.get("key_id") for each in self.manifest.get("signatures", [])]
        return [*dict.fromkeys([kid for kid, _ in self.records if kid is not None] + signed)]

    def check_signer(self):
        if not self.signers():
            self.fault("signer", "nobody signed it in a way that can be checked")
        if self.pins is not None:
            for kid in self.signers():
                if kid not in self.pins:
                    self.fault("signer", f"{kid} signed, and is none of the pinned keys")
        elif not self.trust_embedded:
            self.fault("signer", "UNKNOWN WHO SIGNED: the keys came with the export; pin the producer's keys (--jwks)")

    def check_ranges(self):
        for at, (kid, _) in enumerate(self.records):
            key = self.event_keys.get(kid)
            sequence = self.first() + at
            time = time_ms(self.events[at].get("occurred_at")) if at < len(self.events) else math.nan
            if key is None:
                continue
            if sequence < key["from"] or (key["to"] is not None and sequence > key["to"]):
                self.fault("key_ranges", f"line {at + 1} is signed by {kid}, which was not valid there")
            if key["compromised"] is not None and not time < key["compromised"]:
                self.fault("key_ranges", f"line {at + 1} is signed by {kid} after it was known to others")
            ended = (self.pins or {}).get(kid, (None, None))[1]
            if ended is not None and not time <= ended:
                self.fault("key_ranges", f"line {at + 1} is signed by {kid} after its end, by the pinned keys")
        ordered, first = self.in_order(), self.first()
        for (_, before), (kid, key) in zip(ordered, ordered[1:]):
            if before["to"] is None or before["to"] >= key["from"]:
                self.fault("keys", f"{kid} and the one before it were valid at once")
            at = key["from"] - 1 - first
            if 0 <= at < len(self.events) - 1:
                event = self.events[at]
                if event.get("event_type") != "key.rotate" or event["details"].get("new_kid") != kid or before["to"] != key["from"] - 1:
                    self.fault("key_ranges", f"{kid} takes over, and the event before it does not say so")

    def event_of(self, record, event_type):
        """The event of a record outside the range, if it proves anything."""
        try:
            kid, payload, signed, signature = read_jws(record, "railgate-event+jws")
            event = parse(payload)
            good = kid in self.event_keys and verifies(self.event_keys[kid]["key"], signed, signature)
            fits = event.get("chain_id") == self.manifest.get("chain_id") and event.get("event_type") == event_type
            return {**event, "kid": kid} if good and fits else None
        except (Malformed, AttributeError):
            return None

    def check_rotations(self):
        """Keys that came after the range follow from those of the range by rotations on record."""
        end, ordered = self.first() + len(self.events), self.in_order()
        rotations = [event for each in self.manifest.get("rotations", []) if (event := self.event_of(each, "key.rotate"))]
        inside = [{**event, "kid": None} for event in self.events if event.get("event_type") == "key.rotate"]
        for at, (kid, key) in enumerate(ordered):
            if key["from"] < end:
                continue
            before_kid, before = ordered[at - 1] if at else (None, {"to": None})
            said = [event for event in rotations + inside
                    if event["details"].get("new_kid") == kid and event["sequence"] == key["from"] - 1
                    and event["kid"] in (None, before_kid)]
            if before["to"] != key["from"] - 1 or not said:
                self.fault("keys", f"{kid} came after the range, and no rotation on record says so")

    def check_segment(self):
        rows = self.segment.get("events", [])
        expected = [tuple(event.get(name) for name in ("id", "sequence", "prev_hash", "event_hash")) for event in self.events]
        if [tuple(row.get(name) for name in ("id", "sequence", "prev_hash", "event_hash")) for row in rows] != expected:
            self.fault("segment", "it does not list these events")
        if any(not isinstance(row.get("event_ref"), str) or not is_digest(row.get("event_hash")) for row in rows):
            self.fault("segment", "an event has no event_hash or event_ref")
        if (self.segment.get("from_sequence"), self.segment.get("to_sequence")) != self.scope:
            self.fault("segment", "its range is not the manifest's")
        if self.segment.get("tenant_id") != self.manifest.get("tenant_id"):
            self.fault("segment", "its tenant is not the manifest's")
        if not all(isinstance(self.segment.get(name), str) for name in ("segment_id", "algorithm")):
            self.fault("segment", "it has no segment_id or no algorithm")
        root = self.root_of(self.events)
        if self.segment.get("segment_hash") != root or self.root_of(rows) != root:
            self.fault("segment_hash", "it is not the Merkle root over the event hashes")
        if self.manifest.get("bundle_hash") != root:
            self.fault("bundle_hash", "it is not the Merkle root over the event hashes")

    @staticmethod
    def root_of(rows):
        hashes = [row.get("event_hash") for row in rows]
        return "sha256:" + tree_root([bytes.fromhex(each[7:]) if is_digest(each) else bytes(32) for each in hashes]).hex()

    def vouching(self, kid):
        """(public key, retired) of whoever may sign manifests; None of anybody else."""
        key = self.keys.get(kid)
        role = key["role"] if key is not None else None
        if role == "log":
            return None
        if role == "event":
            return (key["key"], key["to"] is not None or key["compromised"] is not None)
        handed = self.handed_over.get(kid) or (self.pins or {}).get(kid, (None,))[0] or (key and key["key"])
        return (handed, False) if handed and self.keys else None

    def read_hand_overs(self):
        """After a restore the stream's last key says who vouches for it from then on, and that one the next."""
        ordered = self.in_order()
        prefix = f"{self.manifest.get('tenant_id')}/"
        holder = None
        if ordered and ordered[-1][1]["to"] is None and ordered[-1][1]["compromised"] is None:
            holder = (ordered[-1][0], ordered[-1][1]["key"], str(self.manifest.get("chain_id")).removeprefix(prefix))
        found = {}
        for statement in self.hand_overs:
            try:
                kid, payload, signed, signature = read_jws(statement, "railgate-hand-over+jws")
                said = parse(payload)
                if holder is None or kid != holder[0] or not verifies(holder[1], signed, signature):
                    raise Malformed("not signed by the key before")
                if canonical_bytes(said) != payload or set(said) != {"created_at", "from_kid", "from_node_id", "jwk", "kid", "node_id"}:
                    raise Malformed("no statement")
                if (said["from_kid"], said["from_node_id"]) != (holder[0], holder[2]) or math.isnan(time_ms(said["created_at"])):
                    raise Malformed("of another key or node")
                if "d" in said["jwk"] or thumbprint(said["jwk"]) != said["kid"]:
                    raise Malformed("of another key than it names")
                holder = (said["kid"], public_key(said["jwk"]), said["node_id"])
                found[holder[0]] = holder[1]
            except (Malformed, KeyError, TypeError, AttributeError) as error:
                self.fault("keys", f"hand_overs: {error}")
                break
        return found

    def check_signatures(self):
        self.handed_over = self.read_hand_overs()
        signatures = self.manifest.get("signatures")
        if not isinstance(signatures, list) or not signatures:
            self.fault("manifest_signature", "the manifest is not signed")
            signatures = []
        signed = canonical_bytes({name: value for name, value in self.manifest.items() if name != "signatures"})
        times = [time_ms(self.manifest.get("created_at"))] + [time_ms(event.get("occurred_at")) for event in self.events[-1:]]
        for each in signatures:
            key = self.vouching(each["key_id"])
            ended = (self.pins or {}).get(each["key_id"], (None, None))[1]
            if key is None:
                self.fault("manifest_signature", f"it is signed by {each['key_id']}, which is no event key of the stream")
            elif key[1] or (ended is not None and not all(time <= ended for time in times)):
                self.fault("manifest_signature", f"it is signed by {each['key_id']}, which is retired")
            elif not verifies(key[0], signed, b64url(each["signature"])):
                self.fault("manifest_signature", "its signature does not verify")
        own = self.segment.get("signature")
        key = self.vouching(own["key_id"]) if isinstance(own, dict) and signatures else None
        rest = {name: value for name, value in self.segment.items() if name not in ("events", "signature")}
        try:
            good = key is not None and own["key_id"] == signatures[0]["key_id"] and verifies(key[0], canonical_bytes(rest), b64url(own["signature"]))
        except Malformed:
            good = False
        if not good:
            self.fault("segment_signature", "it does not verify with the key that signed the manifest")

    def check_inclusion(self):
        proofs = self.json("proofs.json", "inclusion", {})
        listed = proofs.get("proofs", [])
        if self.note is None or len(listed) != len(self.events) or len(self.records) != len(self.events):
            return self.fault("inclusion", "there is not one record and one proof for each event, or no checkpoint")
        _, size, root = self.note
        if proofs.get("tree_size", size) != size:
            self.fault("inclusion", "the proofs are for a tree of another size than the checkpoint's")
        for at, (proof, (_, line)) in enumerate(zip(listed, self.records)):
            sequence = self.first() + at
            path = [b64(each, 32) for each in proof["hashes"]]
            if proof["sequence"] != sequence or sequence >= size or root_from(leaf_hash(line), sequence, size, path) != root:
                self.fault("inclusion", f"record {sequence} is not in the tree of the checkpoint at its place")

    def check_since(self):
        """The log begins with what an earlier checkpoint is over: the first proof brings what lies before the range."""
        if self.since is None:
            return
        if "inclusion" in self.faults or self.note is None:
            return self.fault("since", "the records were not shown to be in the log")
        text, (origin, size, root) = self.since
        first, end = self.first(), self.first() + len(self.records)
        if self.note[0] != origin:
            return self.fault("since", "it is another log")
        if "\n\n" in text and not self.is_signed(text):
            return self.fault("since", "the earlier checkpoint is signed by no log key of this export")
        if not first <= size <= end:
            return self.fault("since", f"the export holds {first} to {end - 1}, and {size} records were verified before")
        path, at, last, subtrees = self.json("proofs.json", "since", {})["proofs"][0]["hashes"], first, self.note[1] - 1, []
        level = 0
        for sibling in path:
            while not at % 2 and at == last:
                at, last, level = at >> 1, last >> 1, level + 1
            if at % 2:
                subtrees.insert(0, (b64(sibling, 32), 1 << level))
            at, last, level = at >> 1, last >> 1, level + 1
        for _, line in self.records[:size - first]:
            node, leaves = leaf_hash(line), 1
            while subtrees and subtrees[-1][1] == leaves:
                node, leaves = sha256(b"\1" + subtrees.pop()[0] + node), 2 * leaves
            subtrees.append((node, leaves))
        computed = sha256(b"")
        for at, (node, _) in enumerate(reversed(subtrees)):
            computed = node if at == 0 else sha256(b"\1" + node + computed)
        if computed != root:
            self.fault("since", f"the log does not begin with the {size} records that were verified before")

    def check_artifacts(self):
        there = {"sha256:" + name[10:] for name in self.files if ARTIFACT.fullmatch(name)}
        for name in self.files:
            if ARTIFACT.fullmatch(name) and digest(self.files[name])[7:] != name[10:]:
                self.fault("artifacts", f"{name} is not what its name says")
        claimed = self.manifest.get("erasures", [])
        later = [event for each in claimed if (event := self.event_of(each, "chain.anchor"))]
        if len(later) < len(claimed):
            self.fault("artifacts", "erasures holds a record that proves no erasure")
        erased = {event["details"].get("artifact_digest") for event in [*self.events, *later]
                  if isinstance(event.get("details"), dict) and event.get("event_type") == "chain.anchor"
                  and event["details"].get("action") == "artifact_erased"
                  and isinstance(event["details"].get("basis"), str) and event["details"]["basis"] != ""}
        for each in [*self.events, *later]:
            details = each.get("details") if isinstance(each.get("details"), dict) else {}
            low, high = details.get("from_sequence"), details.get("to_sequence")
            if (each.get("event_type") == "chain.anchor" and details.get("action") == "artifacts_expired"
                    and isinstance(details.get("basis"), str) and details["basis"] != "" and type(low) is int and type(high) is int):
                erased |= {pointed(event.get("evidence_pointer")) for at, event in enumerate(self.events) if low <= self.first() + at <= high}
        for at, event in enumerate(self.events):
            artifact = pointed(event.get("evidence_pointer"))
            if artifact is None:
                self.fault("events", f"line {at + 1}: evidence_pointer is no eosc://evidence/sha256:<hex>")
            elif artifact in erased and artifact not in there:
                self.erased.append(artifact)
            elif artifact not in there:
                self.fault("artifacts", f"the artifact of line {at + 1} is not there, and no event says that it was erased")
            settings = event.get("details", {}).get("settings_snapshot_id") if isinstance(event.get("details"), dict) else None
            for snapshot in (event.get("policy_snapshot_id"), event.get("authority_snapshot_id"), settings or EMPTY_SNAPSHOT):
                if not is_digest(snapshot) or (snapshot != EMPTY_SNAPSHOT and snapshot not in there | erased):
                    self.fault("policies", f"{snapshot}, which line {at + 1} names, is not there")

    def check_files(self):
        listed = self.manifest.get("files", {})
        for path, stated in listed.items():
            if path not in self.files or digest(self.files[path]) != stated:
                self.fault("files", f"{path[:60]} is listed, and not there or not that file")
        for path in self.files:
            if path != "manifest.json" and path not in listed:
                self.fault("files", f"{path} is there, and not listed")
        if "manifest.json" in listed:
            self.fault("files", "the manifest lists itself")
        kinds = {self.ref(each) for refs in self.manifest.get("artifacts", {}).values() for each in refs}
        under = {"sha256:" + path[10:] for path in listed if ARTIFACT.fullmatch(path)}
        if kinds != under:
            self.fault("files", "what is listed under artifacts/ and what is listed by kind are not the same")

    def check_profile(self):
        demands = PROFILES.get(str(self.manifest.get("evidence_profile_id")))
        if demands is None:
            return self.fault("profile", "it is no profile that this verifier knows")
        for kind in demands[0]:
            if not self.manifest.get("artifacts", {}).get(kind):
                self.fault("profile", f"it demands artifacts of the kind {kind}")
        chained = ("chain_id", "sequence", "prev_hash", "event_hash")
        if demands[1] and any(name not in event for event in self.events for name in chained):
            self.fault("profile", "it demands chained events")

    def check_form(self):
        """What the ECS contracts publish of exports, as far as it holds manifest, claim and inputs together."""
        if self.manifest.get("schema_version") == SCHEMAS[1]:
            return
        claim = self.json("profile-claim.json", "ecs", {})
        alike = {name: self.manifest.get(name) for name in ("hash_profile_id", "chain_id", "chain_segment_ref")}
        alike.update(zip(("from_sequence", "to_sequence"), self.scope or (None, None)))
        for name, document in [(name, document) for document in (claim, self.inputs) for name in HEAD] + [(name, self.inputs) for name in alike]:
            if document.get(name) is None or document[name] != alike.get(name, self.manifest.get(name)):
                self.fault("ecs", f"{name} is not alike in manifest, claim and inputs")
        segment = self.files.get("chain-segment.json", b"")
        if self.manifest.get("chain_segment_ref") != f"eosc://evidence/chain/{digest(segment)}":
            self.fault("ecs", "chain_segment_ref is not the digest of chain-segment.json")
        rows = self.segment.get("events", [])
        if [row.get("event_ref") for row in rows] != [event.get("evidence_pointer") for event in self.events]:
            self.fault("ecs", "an event_ref is not the event's evidence_pointer")
        profile = self.manifest.get("evidence_profile_id")
        if any(row.get("evidence_profile_id") != profile for row in [self.segment, *rows]):
            self.fault("ecs", "the segment names another profile than the manifest")
        implemented = claim.get("implements", {})
        for name in ("evidence_profiles", "hash_profiles", "export_endpoints", "verifier_inputs_supported"):
            stated = implemented.get(name)
            if not isinstance(stated, list) or any(not isinstance(each, str) for each in stated):
                self.fault("ecs", f"implements.{name} is no list of texts")
        if not isinstance(implemented.get("default_evidence_profile"), str):
            self.fault("ecs", "implements.default_evidence_profile is no text")
        if profile not in (implemented.get("evidence_profiles") or []):
            self.fault("ecs", "the claim lacks the profile of the export")
        refs = [each for listed in self.manifest.get("artifacts", {}).values() for each in listed]
        if any(ARTIFACT.fullmatch(each) for each in refs if isinstance(each, str)):
            self.fault("ecs", "artifacts are named by their paths, and not by eosc://evidence/sha256:<hex>")
        if any(event.get("outcome") == "refused" and not event.get("refusal_reason") for event in self.events):
            self.fault("ecs", "a refused event has no refusal_reason")
        documents = {"policy": set(), "authority": set()}
        for kind, member in (("policy_snapshots", "policy"), ("authority_bindings", "authority")):
            for each in self.manifest.get("artifacts", {}).get(kind, []):
                content = self.files.get("artifacts/" + (self.ref(each) or "")[7:])
                documents[member].add(parse(content).get("id") if content else None)
        for member, ids in documents.items():
            if {event.get(f"{member}_snapshot_id") for event in self.events} - ids:
                self.fault("ecs", f"no document says what a {member}_snapshot_id stands for")


def verify(files, pins=None, trust_embedded=False, since=None):
    """A report as `railgate verify --json` gives it: {ok, checks: [{name, status, detail}]}."""
    faults = Verification(files, pins, trust_embedded, since).run().faults
    checks = [{"name": name, "status": "failed" if name in faults else "passed", "detail": faults.get(name, "")}
              for name in CHECKS if name != "since" or since is not None]
    return {"ok": not faults, "checks": checks}


def unreadable(message):
    checks = [{"name": name, "status": "failed", "detail": message if name == "archive" else "it could not be carried out"} for name in CHECKS]
    return {"ok": False, "checks": checks}


def verify_bytes(data, pins=None, trust_embedded=False, since=None):
    try:
        return verify(read_archive(data), pins, trust_embedded, since)
    except Unreadable as error:
        return unreadable(str(error))


def verify_path(path, pins, trust_embedded, since=None):
    if os.path.isdir(path):
        try:
            files = read_folder(path)
        except Unreadable as error:
            return unreadable(str(error))
        if not any(name in FILES or ARTIFACT.fullmatch(name) for name in files):
            raise SystemExit(told(f"{path} is no export", 2))
        return verify(files, pins, trust_embedded, since)
    with open(path, "rb") as file:
        return verify_bytes(file.read(), pins, trust_embedded, since)


def events_of(path):
    """The events of an export, for a look at several together; none where it cannot be read."""
    try:
        files = read_folder(path) if os.path.isdir(path) else read_archive(open(path, "rb").read())
        return [parse(line) for line in lines_of(files.get("events.jsonl", b""))]
    except (Unreadable, Malformed, OSError):
        return []


def entity_of(event):
    """The workload or mesh that an event is about."""
    kind = str(event.get("event_type"))
    details = event.get("details") or {}
    if kind.startswith("workload.") or kind == "decision.superseded":
        return ("workload", event.get("tenant_id"), details.get("workload_id"))
    return ("mesh", event.get("tenant_id"), details.get("mesh_id")) if kind.startswith("mesh.") else None


def together(events):
    """What keeps events of several streams from being one history of each workload and mesh, by the versions that they tell."""
    faults, places, revisions, untold = [], {}, {}, set()
    for event in events:
        place = (event.get("chain_id"), event.get("sequence"))
        if place in places:
            if places[place] != event.get("event_hash"):
                faults.append(f"a fork, two events are number {place[1]} of {place[0]}")
            continue
        places[place] = event.get("event_hash")
        entity, details = entity_of(event), event.get("details") or {}
        if entity is None:
            continue
        revision = details.get("state_revision", details.get("revision"))
        if isinstance(revision, int):
            revisions.setdefault(entity, {}).setdefault(revision, []).append(place)
        elif "seen_revision" not in details:
            untold.add(entity)
    for entity, found in revisions.items():
        name = f"{entity[0]} {entity[2]} of {entity[1]}"
        # Events of 0.1 tell no version: those that are told begin behind them.
        expected = min(found) if entity in untold else 1
        for revision in sorted(found):
            if revision > expected:
                faults.append(f"{name}: a gap, no event leads to revision {expected}" + ("" if revision == expected + 1 else f" to {revision - 1}"))
            if len(found[revision]) > 1:
                faults.append(f"{name}: a twin, {len(found[revision])} events lead to revision {revision}")
            expected = revision + 1
    return faults


def told(message, code):
    print(f"verify.py: {message}", file=sys.stderr)
    return code


def main():
    asked = argparse.ArgumentParser(description="A second verifier of exports. Exit code 0 only if every check of every export passed.")
    asked.add_argument("export", nargs="+", help="a folder, .tar.gz or .tar")
    asked.add_argument("--jwks", help="the producer's public keys, had by another way than the export")
    asked.add_argument("--trust-embedded-keys", action="store_true", help="take the keys in the export for the producer's; proves nothing about who signed")
    asked.add_argument("--since", help="a checkpoint of this log up to which all was verified before")
    asked.add_argument("--json", action="store_true", help="a report a line")
    given = asked.parse_args()
    try:
        pins = None
        if given.jwks:
            with open(given.jwks, "rb") as file:
                pins = read_pins(parse(file.read()))
        since = None
        if given.since:
            with open(given.since, encoding="utf-8") as file:
                since = read_since(file.read())
        good = True
        for path in given.export:
            report = verify_path(path, pins, given.trust_embedded_keys, since)
            good = good and report["ok"]
            if given.json:
                print(json.dumps(report))
                continue
            for check in report["checks"]:
                print(f"{check['name']:20} {check['status']:8} {check['detail']}".rstrip())
            print(f"{path}: {'every check passed' if report['ok'] else 'NOT VERIFIED'}")
        if len(given.export) > 1:
            faults = together([event for path in given.export for event in events_of(path)])
            good = good and not faults
            if given.json:
                check = {"name": "together", "status": "failed" if faults else "passed", "detail": "; ".join(faults)}
                print(json.dumps({"ok": not faults, "checks": [check]}))
            else:
                print("\n".join(faults) or "together: one history of each workload and mesh")
        return 0 if good else 1
    except OSError as error:
        return told(str(error), 3)
    except (Malformed, KeyError, TypeError, AttributeError) as error:
        return told(f"{given.jwks}: {error}", 2)


if __name__ == "__main__":
    sys.exit(main())
