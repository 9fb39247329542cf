"""What was captured, on disk until it is acknowledged: framed parcels in segments, a ledger."""
