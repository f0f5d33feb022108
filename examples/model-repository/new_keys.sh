#!/usr/bin/env bash
# Once, by hand: a key for this repository's CI and one for those who promote, and the trust file that names them.
# Keep keys/ out of the repository, in the secrets of the jobs that use them. Commit trust.toml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

mkdir -p keys
quickthorn keygen keys/builder.pem
quickthorn keygen keys/promoter.pem

cat > trust.toml <<TRUST
require = ["builder"]

[[keys]]
name = "ci"
roles = ["builder"]
public_key = """
$(cat keys/builder.pem.pub)
"""

[[keys]]
name = "release"
roles = ["promoter"]
public_key = """
$(cat keys/promoter.pem.pub)
"""
TRUST
echo "trust.toml: commit it; keys/: do not"
