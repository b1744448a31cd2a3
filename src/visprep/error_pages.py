"""The page of every error: what happened, why that ends a command, and what to do. `visprep explain` shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorPage:
    """One error in words, whichever file or place it is about."""

    what: str
    why: str
    fix: str


#: slug -> its page, in the order of the tree in `errors`
PAGES: dict[str, ErrorPage] = {
    "visprep-error": ErrorPage(
        "visprep could not do what was asked.",
        "This is the root of all errors; what is raised is always one of those below it.",
        "in Python, catch visprep.VisprepError to catch them all, and look at its slug and hint",
    ),
    "usage": ErrorPage(
        "The request makes no sense: options that exclude each other, a number out of range, a malformed setting.",
        "No state of the disk or the network could make it work, so nothing was begun.",
        "correct the command or the setting; `visprep COMMAND --help` lists the options",
    ),
    "unknown-name": ErrorPage(
        "There is no source, split, config, layout or code of that name.",
        "To guess another one would bring data that nobody asked for.",
        "take one of those that the hint lists; `visprep sources` shows sources with their splits and configs",
    ),
    "bad-place": ErrorPage(
        "The text names neither a directory nor s3://bucket/prefix, or upload is to go elsewhere than to S3.",
        "Other schemes are not read or written, and half a name would lead to the wrong bucket.",
        "write s3://bucket/prefix, or the path of a directory",
    ),
    "missing-extra": ErrorPage(
        "A feature needs a package that is not installed.",
        "Large packages are optional, so that those who do not need them do not install them.",
        "run the pip install of the hint; `visprep doctor` shows which extras are there",
    ),
    "place-error": ErrorPage(
        "The place itself stands in the way.",
        "This is the family of the errors about places; what is raised is one of its members.",
        "see the page of the slug that was shown",
    ),
    "place-missing": ErrorPage(
        "There is no such directory, bucket or prefix, or nothing in it.",
        "An empty answer for a mistyped name would look like an empty dataset.",
        "check the name, and for S3 --endpoint-url, --profile and --region; `visprep doctor PLACE` tries it",
    ),
    "unknown-content": ErrorPage(
        "verify, or convert, recognizes nothing of what lies there.",
        "To call a place sound without having checked anything would be worse than to stop.",
        "name the directory that holds the dataset, or say what it is: --as tasks, coco, vton or frames",
    ),
    "place-busy": ErrorPage(
        "Another visprep is changing the place at this moment.",
        "Two commands at once would write over each other's files and records.",
        "wait until it has ended; on disk the lock is the kernel's and ends with the process, so none is ever left "
        "over; a prune of a published place that was broken off is ended by `visprep publish --prune`",
    ),
    "place-incomplete": ErrorPage(
        "A command was begun at the place and not ended, and this is another one.",
        "What lies there is not whole: a copy of it would spread half a dataset.",
        "run that command again, `visprep status PLACE` shows it; or remove .visprep/in-progress there to give it up",
    ),
    "would-overwrite": ErrorPage(
        "Files are in the way that visprep did not write, or that changed since it wrote them.",
        "They may be somebody's work, and replaced they would be gone.",
        "move them away, or choose another --output; download replaces them with --overwrite",
    ),
    "too-many-deletes": ErrorPage(
        "More files would be deleted at the target than --max-delete allows: half of them, unless it is given.",
        "So much to delete mostly means that the origin is the wrong one, or not whole; nothing was done.",
        "look at the list with --dry-run; when it is right, say --max-delete N",
    ),
    "plan-stale": ErrorPage(
        "One of the two places changed after the plan was made.",
        "A plan is carried out exactly as it was read and agreed to, or not at all.",
        "make a new one with --plan, look at it, and apply that",
    ),
    "bad-record": ErrorPage(
        "The manifest or dataset.json of a place is damaged, or another version of visprep wrote it.",
        "Without it nobody can tell which files belong to the place, and which of them are whole.",
        "delete it and run the command that made the place again, or use the version that wrote it",
    ),
    "store-error": ErrorPage(
        "One file could not be read or written.",
        "This is the family of the errors about single files; what is raised is one of its members.",
        "see the page of the slug that was shown",
    ),
    "file-missing": ErrorPage(
        "A file that was listed is not there when it is read.",
        "It was removed meanwhile, or the origin's list promises what the origin does not have.",
        "run the same command again; if that does not help, the file is gone at its origin",
    ),
    "access-denied": ErrorPage(
        "The file, bucket or repository is there, but not for you.",
        "The owner, the file mode, the bucket's policy or the key's permissions do not allow it; or the place is "
        "published, and a version of it never changes.",
        "ask for the permission that is named, or change owner or mode; `visprep doctor` shows which key is in use",
    ),
    "unsafe-path": ErrorPage(
        "A name would leave the place, or cannot exist there: `..`, a link that leads out, a key above 1,024 bytes.",
        "Written as it is, it would touch files outside the place.",
        "rename it at its origin, or leave it out",
    ),
    "disk-full": ErrorPage(
        "No room is left where the bytes should go.",
        "The files that are finished stay; the one that was being written does not appear under its name.",
        "free some space and run the same command again: it goes on where it stopped",
    ),
    "disk-error": ErrorPage(
        "The file system refused for a reason of its own, such as a file where a directory is needed.",
        "visprep cannot know whether another try would end otherwise.",
        "see to what the message says, then run the same command again",
    ),
    "wrong-content": ErrorPage(
        "Bytes came that are not the bytes that were promised: size, checksum or kind differ.",
        "Kept, they would be a damaged file that looks like a sound one.",
        "run the same command again; if it comes back, the origin is damaged",
    ),
    "changed-meanwhile": ErrorPage(
        "A file changed while it was being read, or somebody else published a place meanwhile.",
        "Its beginning and its end would be of two versions; or what the other published would be lost unseen.",
        "wait until whoever writes it has ended, and run the same command again",
    ),
    "network-error": ErrorPage(
        "The other side did not answer as it should.",
        "This is the family of the errors about the network; what is raised is one of its members.",
        "see the page of the slug that was shown",
    ),
    "unreachable": ErrorPage(
        "There is no connection: the name, the route, the port, the proxy, or TLS.",
        "Several tries all ended before a word was exchanged.",
        "check the address, the network and the proxy; for own certificates set SSL_CERT_FILE or AWS_CA_BUNDLE",
    ),
    "stalled": ErrorPage(
        "The connection was made, and then nothing came for too long.",
        "A silent connection would hold the command for ever.",
        "run the same command again: what arrived is kept; with -vv every request is told",
    ),
    "rate-limited": ErrorPage(
        "The server asked to slow down, again and again, until visprep gave up.",
        "It gives each address or account only so many requests in a time.",
        "wait a while and run the same command again; on the hub a token (HF_TOKEN) raises the limit",
    ),
    "server-failed": ErrorPage(
        "The server kept failing, or answered something that makes no sense.",
        "It is ill, or it is no server of the kind that was expected.",
        "try again later; check the endpoint (--endpoint-url, HF_ENDPOINT)",
    ),
    "credentials": ErrorPage(
        "No credentials were found for S3, or those found are not accepted; or the hub refuses the token.",
        "A request that is not signed, or signed with old keys, is refused.",
        "run `aws configure`, set the keys, or renew the token; `visprep doctor` shows where they come from",
    ),
    "source-error": ErrorPage(
        "Upstream has changed in a way that visprep does not know.",
        "Read on a guess, its rows would become wrong tasks.",
        "pin an older commit with --revision",
    ),
    "source-gated": ErrorPage(
        "The dataset's terms must be accepted, with an account, before it can be had.",
        "Its owners want to know who uses it.",
        "accept the terms on its page, then set HF_TOKEN to a token of that account",
    ),
    "source-missing": ErrorPage(
        "Upstream has no such repository, revision or data file.",
        "It was renamed, removed or made private, or it never was there.",
        "check --revision, --config and HF_ENDPOINT",
    ),
    "nothing-converted": ErrorPage(
        "Not one task could be written.",
        "An empty place would look like a finished download.",
        "see the reasons in the message; tasks without a final frame need --layout vmevalkit",
    ),
    "not-repeatable": ErrorPage(
        "rebuild cannot repeat a step of a dataset.json: files were edited by hand, a plug-in or a package is not "
        "here, or how a place was made that was converted or split is not recorded.",
        "Without that step something else would come of it, so nothing was fetched.",
        "install what the message names, say where a place lies now with --origin NAME=PLACE, or do the rest with "
        "--partly; `visprep rebuild dataset.json --dry-run` lists all steps",
    ),
    "node-unfit": ErrorPage(
        "A node of the Ray cluster has another Python, visprep or package than the machine where the command runs, or "
        "it does not see one of the places, or does not see the same there.",
        "What that node made would not be what this machine makes, or would lie where nobody looks.",
        "install the same on every node; keep places on a disk that all nodes share, or on S3, with credentials on "
        "every node; or run it with --engine local",
    ),
    "worker-lost": ErrorPage(
        "A worker process died while it worked on one item, alone and more than once; or node after node was lost.",
        "A process that dies says nothing: mostly its memory was used up, or a decoder crashed on a damaged file. All "
        "other items are done.",
        "look at the file that is named, and at the memory of the machine; the same command goes on with what is left",
    ),
    "incomplete": ErrorPage(
        "Some files failed; everything else is done.",
        "The place stays marked as unfinished, so that nobody takes it for whole.",
        "run the same command again: it tries only what is missing; `visprep status PLACE` lists what failed and why",
    ),
    "too-many-failures": ErrorPage(
        "More samples of a dataset could not be had than its max_failures allows.",
        "A few bad images are left out; so many mostly mean that something is wrong with the place, or the way to it.",
        "look at dataset.failures, or verify the place; raise max_failures when so many may be missing",
    ),
    "demo-failed": ErrorPage(
        "A step of the demo did not end as it must.",
        "The demo works on files and servers of its own; what fails there fails elsewhere too.",
        "try another --output; if it fails there as well, report it as a bug",
    ),
}
