"""What can be wrong with a whole file, as opposed to one of its rows."""


class UnreadableFile(Exception):  # noqa: N818 - the name says what happened to whom
    """A names file that cannot be read as a CSV at all.

    Attributes:
        file: The file's path below the names folder.
        line: The physical line, from 1, on which the trouble begins.
        problem: What is wrong, in plain words and without any of the file's content.
        cure: What the file's owner can do about it.
    """

    def __init__(self, file: str, line: int, problem: str, cure: str) -> None:
        # All four reach Exception, so that the error survives pickling between processes.
        super().__init__(file, line, problem, cure)
        self.file = file
        self.line = line
        self.problem = problem
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.problem}. To mend it: {self.cure}."
