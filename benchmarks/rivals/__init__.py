"""One adapter per rival: the same events in, the same margins out, done the way people do it without Quickthorn."""
