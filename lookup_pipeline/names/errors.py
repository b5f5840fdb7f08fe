"""What can be wrong with a whole file or with the names folder, as opposed to a row."""


class UnreadableFile(Exception):  # noqa: N818 - the name says what happened to whom
    """A names file that cannot be read as a CSV at all, or is no file.

    Attributes:
        file: The file's path below the names folder.
        line: The physical line, from 1, on which the trouble begins; 1 for what is no file.
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


class MissingNamesFolder(Exception):  # noqa: N818 - likewise
    """The names folder is not there, so nobody can tell whether a date has files.

    Attributes:
        folder: Where it should be.
        cure: What the operator can do about it.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(folder)
        self.folder = folder
        self.cure = (
            "mount or create it, or set LOOKUP_PIPELINE_NAMES_URL to where the CSV files lie"
        )

    def __str__(self) -> str:
        return f"There is no names folder {self.folder}. To mend it: {self.cure}."
