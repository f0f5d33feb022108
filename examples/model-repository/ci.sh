#!/usr/bin/env bash
# From training to production; stops at the first step that does not hold. Run new_keys.sh once before.
#
#   KEYS   directory of the private keys (default: keys)
#   STORE  directory or fsspec URL of the bundle store (default: store)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

place=(--store "${STORE:-store}" --environment prod --trust trust.toml)
keys=${KEYS:-keys}
bundle=build/fraud.qt
judged=(--events build/holdout.parquet --label fraud)

step() { printf '\n=== %s (%s s so far)\n' "$1" "$SECONDS"; }

step "train"
python train.py

step "look the policy over"
quickthorn policy check policy.toml --features features.py:features

step "compile, and prove it against the library that trained it"
quickthorn compile

step "verify it on the payments that the model has not seen"
quickthorn verify "$bundle" --allow-unsigned --model build/model.ubj --data build/holdout.parquet

step "sign"
quickthorn sign "$bundle" --key "$keys/builder.pem" --role builder

step "show what is in it"
quickthorn inspect "$bundle" --trust trust.toml --picture build/importances.svg

step "hold it to the latency budget"
quickthorn bench "$bundle" --trust trust.toml --budget budget.toml --calls 10000 | tee build/latency.txt
python -m pytest --quiet --quickthorn-bundle "$bundle" --quickthorn-trust trust.toml --quickthorn-budget budget.toml

if [[ $(quickthorn ledger "${place[@]}" --json) != "[]" ]]; then
    step "compare it with what is in production"
    quickthorn fetch "${place[@]}" --output build/champion.qt
    quickthorn diff build/champion.qt "$bundle" --trust trust.toml "${judged[@]}"
fi

step "promote it, where the gates let it through"
quickthorn promote "$bundle" "${place[@]}" --key "$keys/promoter.pem" --gates gates.toml "${judged[@]}" | tee build/promotion.txt
quickthorn ledger "${place[@]}"
