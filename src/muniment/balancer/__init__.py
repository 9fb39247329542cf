"""The balancers' own interfaces: stats sockets, admin pages, configuration files, cloud APIs.

Each module speaks to one kind of system, reads its state, and knows the commands that change it.
Nothing here knows of logs or entries. The agent looks through it, a rollback acts through it.
"""
