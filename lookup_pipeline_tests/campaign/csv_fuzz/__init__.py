"""Files that nobody should write, read all the same: no crash, no hang, no row lost.

`strategies` makes files whose rows are known, `mutations` damages the realistic ones of `corpus`,
`adversaries` are big and meant to take long. `oracle` says what must hold of any file's bytes,
`made` what else must hold where the rows are known. `worker` tries them in a process of its own,
which `scenario` watches.
"""
