"""The forest stage: trained ensembles in, native code out, leaf for leaf what the source library computes."""
