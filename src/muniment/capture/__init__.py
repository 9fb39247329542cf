"""The agent beside a balancer: reads its logs, looks at its state, and ships both, chained.

What it captures goes to a spool on disk first (`spool`), in numbered and chained parcels, and from
there to one of several endpoints until it is acknowledged (`ship`). Logs are tailed as bytes; state
is looked at now and then, and each difference becomes one change event (`change`). It parses no log
and decides nothing: that is for who reads the log.
"""
