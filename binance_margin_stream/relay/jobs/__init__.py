"""Many keys on many hosts: the job file, the queue of jobs, and the jobs that this host owns.

May import `relay.broker` and the decisions of `relay`; nothing of `service` or the readers.
"""
