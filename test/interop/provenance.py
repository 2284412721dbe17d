# The other side of `npm run -s interop:provenance`: PyPI's sigstore judges the same bundles, offline, and `cryptography` the node's
# own statements. Reads cases, a JSON file; writes what it found of each.
import base64
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier
from sigstore.verify.policy import UnsafeNoOp


def judge(verifier, bundle):
    try:
        verifier.verify_dsse(Bundle.from_json(json.dumps(bundle)), UnsafeNoOp())
        return "signed"
    except Exception as error:
        return f"refused: {type(error).__name__}: {str(error)[:120]}"


def check(statement, keys):
    [signature] = statement["signatures"]
    payload = base64.b64decode(statement["payload"])
    kind = statement["payloadType"].encode()
    encoded = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
    x = keys[signature["keyid"]]
    raw = base64.urlsafe_b64decode(x + "=" * (-len(x) % 4))
    Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(signature["sig"]), encoded)
    assert json.loads(payload)["_type"] == "https://in-toto.io/Statement/v1"


with open(sys.argv[1]) as file:
    given = json.load(file)
verifiers = {name: Verifier(trusted_root=TrustedRoot.from_file(path)) for name, path in given["roots"].items()}
found = [judge(verifiers[root], bundle) for root, bundle in given["bundles"]]
for each in given["statements"]:
    check(each, given["keys"])
json.dump(found, sys.stdout)
