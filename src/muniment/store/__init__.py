"""Where sealed segments and attachments live once the node that took them does not matter any more.

`port` says what a store and a write-once policy are; `opening` makes one from settings. `archive`
carries sealed segments there, `wal` what is acknowledged before it is sealed, `restore` brings all
of it back. A store never holds the index: that can be made again, and must stay deletable.
"""
