"""How long a log is kept: retention that only grows, legal holds, and expiry on record.

`policy` says until when what is sealed stays locked, `spread` brings that to the stores and to the
objects that are there already; `holds` keeps what an investigation needs whatever its age; `expire`
lets whole segments go once all of that has ended, and says so in the log first.
`log_retention` does all that for one log, `follow` has it done for those of a node, round by round.
"""
