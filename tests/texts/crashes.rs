//! The kill test for exchanges: whatever was acknowledged has one note, in one conversation for each exchange.
