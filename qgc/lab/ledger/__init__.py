"""The ledger: every figure and table of the paper beside ours, with a verdict by rules that were fixed before."""
