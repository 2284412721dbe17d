# Checks receipts with another language's JOSE library (jwcrypto), by a JWKS alone: nothing of Railgate's is used. See docs/audit.md.
#   python3 -m venv .venv && .venv/bin/pip install jwcrypto==1.5.6
#   .venv/bin/python examples/check-receipts.py jwks.json records.jws
import json
import sys

from jwcrypto import jwk, jws

jwks_file, records_file = sys.argv[1:3]
with open(jwks_file) as file:
    keys = {key["kid"]: jwk.JWK(**{name: key[name] for name in ("kty", "crv", "x")}) for key in json.load(file)["keys"]}

with open(records_file) as file:
    for number, line in enumerate(file, 1):
        record = jws.JWS()
        record.deserialize(line.strip())
        # The algorithm is named here and not taken from the record; a bad signature raises InvalidJWSSignature.
        record.verify(keys[record.jose_header["kid"]], alg="EdDSA")
        event = json.loads(record.payload)
        print(f"line {number}: sequence {event['sequence']}, {event['event_type']}, {event['outcome']}: signature holds")
