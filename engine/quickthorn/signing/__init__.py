"""Who made a bundle, and who approved it: keys, signatures, and the trust file that says whom to believe."""

from quickthorn.signing.keys import ALGORITHMS, Algorithm, PublicKey, SigningKey
from quickthorn.signing.sealing import seal, sign_bundle, unseal
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
    "sign_bundle",
    "unseal",
]
