"""A payment stream with planted fraud, and the whole product run over it once."""
