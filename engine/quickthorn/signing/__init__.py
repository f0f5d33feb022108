"""Who made a bundle, and who approved it: keys, signatures, and the trust file that says whom to believe."""

from quickthorn.signing.keys import ALGORITHMS, Algorithm, PublicKey, SigningKey
from quickthorn.signing.sealing import seal, seal_payload, sign_bundle, unseal, unseal_payload
from quickthorn.signing.trust import Signer, Trust, TrustedKey

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "PublicKey",
    "Signer",
    "SigningKey",
    "Trust",
    "TrustedKey",
    "seal",
    "seal_payload",
    "sign_bundle",
    "unseal",
    "unseal_payload",
]
