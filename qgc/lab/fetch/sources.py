"""What comes from where: the public sources of the photographs, questions and weights, as data.

Sizes and checksums are entered only where somebody published them, and each says who. Where nothing is published,
``qgc.lab.fetch.fetch`` notes the checksum of the first download and refuses a later one that differs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

TORCHVISION = "the first 8 hex digits of its sha256 are in the file's official name"
PARLAI = "published by ParlAI (facebookresearch/ParlAI, parlai/tasks/vqa_v1 and vqa_v2) for the same address"

NYU13 = "the sha256 of the object eb4e68c6 of its git repository, which git's own checksum vouches for"

KB, MB, GB = 10**3, 10**6, 10**9


@dataclass(frozen=True)
class Archive:
    """What is taken out of a zip or tar.

    Files whose base name fits one of the patterns ``take`` go, under their base name, into the folder ``into``.
    ``unpacked`` is roughly what the whole archive holds, in bytes; one that holds more than four times as much is
    refused. ``count``: how many files are taken, where that is known. ``photo`` makes a photograph's file name from its
    number; ``single`` makes its own addresses from its file name, where a server also hands them out one by one.
    """

    take: tuple[str, ...]
    unpacked: int
    into: str = ""
    count: int | None = None
    photo: str = ""
    single: tuple[str, ...] = ()

    @property
    def limit(self) -> int:
        """More bytes than this are never unpacked."""
        return 4 * self.unpacked

    def takes(self, name: str) -> bool:
        """Whether the file with this base name is wanted."""
        return any(fnmatchcase(name, pattern) for pattern in self.take)

    def complete(self, names: Iterable[str]) -> bool:
        """Whether these files are all that is wanted: one for each pattern, or any where they are counted."""
        names = list(names)
        found = [any(fnmatchcase(name, pattern) for name in names) for pattern in self.take]
        return any(found) if self.count else all(found)


@dataclass(frozen=True)
class Source:
    """One file on a public server, and what is known about it.

    ``addresses`` are tried in order. ``size`` is exact and published, in bytes; ``about`` is rough, for the check of
    the free disk space. ``sha256`` has all 64 digits, or the first few where the publisher gives no more, or is empty
    where nothing is published; ``checksum_from`` says who published it. ``part``: the official part of the data
    set that it belongs to, empty where there are none.
    """

    name: str
    addresses: tuple[str, ...]
    about: int
    size: int | None = None
    sha256: str = ""
    checksum_from: str = ""
    archive: Archive | None = None
    part: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which people have it: ours, and the server's."""
        return tuple(dict.fromkeys((self.name, *(address.rsplit("/", 1)[1] for address in self.addresses))))

    @property
    def photographs(self) -> bool:
        """Whether single photographs can be chosen from it."""
        return self.archive is not None and bool(self.archive.photo)

    @property
    def bytes(self) -> int:
        """Its size: exact where published, else rough."""
        return self.size or self.about


@dataclass(frozen=True)
class Collection:
    """Files that belong together, under one name of ``python -m qgc fetch``.

    ``without`` says what a reader does when a source is gone: what to search for, and what the book does without it.
    """

    name: str
    title: str
    home: str
    terms: str
    files: tuple[Source, ...]
    without: str

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that can be chosen, in order."""
        return tuple(dict.fromkeys(source.part for source in self.files if source.part))


def _mpi(name: str, about: int, archive: Archive | None = None, there: str = "") -> Source:
    """A file of DAQUAR; ``there``: its name on the server, where that is too bare a name for a folder."""
    place = f"datasets.d2.mpi-inf.mpg.de/mateusz14visual-turing/{there or name}"
    return Source(name, (f"https://{place}", f"http://{place}"), about, archive=archive)


_NYU_PHOTOS = _mpi(
    "nyu_depth_images.tar",
    450 * MB,
    archive=Archive(("image*.png", "image*.jpg"), 700 * MB, "images", 1449, photo="image{}.png"),
)


def _nyu13(part: str, count: int, size: int | None = None, sha256: str = "") -> Source:
    """The pixel labels of DAQUAR's part ``part``; names of files in the archive do not tell the parts apart."""
    name, into = f"nyuv2_{part}_class13.tgz", f"{part}_labels_13"
    address = f"https://raw.githubusercontent.com/ankurhanda/nyuv2-meta-data/master/{into}/{name}"
    archive = Archive(("new_nyu_class13_*.png",), 10 * MB, into, count)
    return Source(name, (address,), 4 * MB, size, sha256, NYU13 if sha256 else "", archive, part)


_PARTS = {"Train": "train2014", "Val": "val2014"}


def _vqa(name: str, unpacked: int, about: int, size: int | None, sha256: str) -> Source:
    """A zip of VQA's questions or annotations, of which the open-ended task's file is taken."""
    version = "v2_" if name.startswith("v2_") else ""
    kind, part = name.removeprefix("v2_").split("_")[:2]
    part = _PARTS[part]
    open_ended = f"{version}OpenEnded_mscoco_{part}_questions.json"
    take = open_ended if kind == "Questions" else f"{version}mscoco_{part}_annotations.json"
    at = ("https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa", "https://visualqa.org/data/mscoco/vqa")
    archive = Archive((take,), unpacked)
    return Source(name, tuple(f"{place}/{name}" for place in at), about, size, sha256, PARLAI, archive, part)


def _coco(part: str, count: int, about: int, size: int | None = None) -> Source:
    """A zip of COCO's photographs: no checksum is published, but each photograph in it has a CRC-32 that is checked."""
    name, file = f"{part}.zip", f"COCO_{part}_{{:012d}}.jpg"
    # The official address is the second: its certificate is not for that name, and this is the same bucket over https.
    at = ("https://s3.amazonaws.com/images.cocodataset.org", "http://images.cocodataset.org")
    single = tuple(f"{place}/{part}/{{}}" for place in at)
    archive = Archive((f"COCO_{part}_*.jpg",), about, part, count, photo=file, single=single)
    return Source(name, tuple(f"{place}/zips/{name}" for place in at), about, size, archive=archive, part=part)


def _torchvision(name: str, about: int, size: int | None = None) -> Source:
    digits = name.rsplit("-", 1)[1].split(".")[0]
    address = f"https://download.pytorch.org/models/{name}"
    return Source(name, (address,), about, size, digits, TORCHVISION)


_COCO = (
    _coco("train2014", 82783, 13_510 * MB, 13510573713),
    _coco("val2014", 40504, 6_645 * MB, 6645013297),
)
_VQA_TERMS = "questions and answers CC BY 4.0 (visualqa.org/terms.html); photographs under their Flickr terms (COCO)"
_VQA_WITHOUT = (
    "Search for the files' names: many universities and dataset hubs keep copies of them and of COCO 2014. Without "
    "them, fetch daquar gives a smaller data set for the same chapters, and the chapters show the recorded numbers."
)
_WEIGHTS_WITHOUT = (
    "The same file is in the cache of anybody who used the model with torchvision (~/.cache/torch/hub/checkpoints). "
    "Without it, any other torchvision CNN serves (--cnn NAME --weights FILE), and the scenes need none at all."
)
_DAQUAR_WITHOUT = (
    "Search for 'DAQUAR' or for the files' names: copies are on dataset hubs and in the archives of the web. Folders "
    "that hold qa.894.raw.*.txt and images/imageN.png or .jpg serve as they are. Without them, the chapters show the "
    "recorded numbers, and everything else in the book works on scenes."
)

COLLECTIONS: dict[str, Collection] = {
    c.name: c
    for c in (
        Collection(
            "daquar",
            "DAQUAR: 12,468 questions about 1,449 photographs of NYU Depth v2",
            "https://www.mpi-inf.mpg.de/departments/computer-vision-and-machine-learning/research/"
            "vision-and-language/visual-turing-challenge",
            "what its page says; cite Malinowski and Fritz 2014, and Silberman et al. 2012 for the photographs",
            (
                _mpi("qa.894.raw.train.txt", 424 * KB),
                _mpi("qa.894.raw.test.txt", 352 * KB),
                _mpi("train_images_list.txt", 8 * KB, there="train.txt"),
                _mpi("test_images_list.txt", 7 * KB, there="test.txt"),
                _NYU_PHOTOS,
            ),
            _DAQUAR_WITHOUT,
        ),
        Collection(
            "nyu13",
            "DAQUAR's photographs with the class of every pixel: questions about rooms (qgc.data.rooms)",
            "https://github.com/ankurhanda/nyuv2-meta-data",
            "none stated; cite Silberman et al. 2012 for photographs and labels, Couprie et al. 2013 for 13 classes",
            (
                _nyu13("test", 654, 3955310, "b36668f3872703ef8e58fa02ad3c599213c45666e005df1e843849f189278802"),
                _nyu13("train", 795),
                _NYU_PHOTOS,
            ),
            "Search for 'nyuv2_test_class13' or for '13 class labels NYUv2'. Without the training labels, the 654 test "
            "photographs alone make the data set; without any, everything else in the book works on scenes.",
        ),
        Collection(
            "vqa2",
            "VQA v2 with COCO's photographs",
            "https://visualqa.org/download.html",
            _VQA_TERMS,
            (
                _vqa(
                    "v2_Questions_Train_mscoco.zip",
                    *(60 * MB, 7 * MB, 7239401),
                    "05a64b6e2582d06d7585f5429674a9a33851878be1bff9f8668cdcf792df611e",
                ),
                _vqa(
                    "v2_Annotations_Train_mscoco.zip",
                    *(400 * MB, 22 * MB, 21708861),
                    "fb101bcefe91422c543c2bb6d70af11eb3119d0ff745ae283d09acdf66250853",
                ),
                _vqa(
                    "v2_Questions_Val_mscoco.zip",
                    *(30 * MB, 3 * MB, 3494929),
                    "e71f6c5c3e97a51d050f28243e262b28cd0c48d11a6b4632d769d30d3f93222a",
                ),
                _vqa(
                    "v2_Annotations_Val_mscoco.zip",
                    *(200 * MB, 11 * MB, 10518930),
                    "0caae7c8d1dafd852727f5ac046bc1efca9b72026bd6ffa34fc489f3a7b3291e",
                ),
                *_COCO,
            ),
            _VQA_WITHOUT,
        ),
        Collection(
            "vqa1",
            "VQA v1 (real images) with COCO's photographs",
            "https://visualqa.org/vqa_v1_download.html",
            _VQA_TERMS,
            (
                _vqa(
                    "Questions_Train_mscoco.zip",
                    *(250 * MB, 30 * MB, None),
                    "c3b2bb6155528eeae95e0a914af394d6f0d98f8f2b51012c44b27778e1a96707",
                ),
                _vqa(
                    "Annotations_Train_mscoco.zip",
                    *(300 * MB, 20 * MB, None),
                    "a5f5f97c162a4ad44896be08bac6deaa258aa3fec281afcc84fe85ae44cb1ebc",
                ),
                _vqa(
                    "Questions_Val_mscoco.zip",
                    *(150 * MB, 15 * MB, None),
                    "e8839be5de2d711989bf0adc82e6717d1ce307d27c9b1dfb0abf413b79a5d4d0",
                ),
                _vqa(
                    "Annotations_Val_mscoco.zip",
                    *(150 * MB, 10 * MB, None),
                    "29377c35186d90aeab3e61bdad890f51215d1f88b700bd22ef19004d73bf284f",
                ),
                *_COCO,
            ),
            _VQA_WITHOUT,
        ),
        Collection(
            "vgg19",
            "VGG-19 trained on ImageNet, torchvision's own",
            "https://pytorch.org/vision/stable/models/vgg.html",
            "BSD-3-Clause (torchvision)",
            (_torchvision("vgg19-dcbb9e9d.pth", 575 * MB, 574673361),),
            _WEIGHTS_WITHOUT,
        ),
        Collection(
            "vgg19-caffe",
            "VGG-19 as the VQA model saw it: the Caffe model, converted by Justin Johnson",
            "https://github.com/jcjohnson/pytorch-vgg",
            "CC BY 4.0 (the VGG group's models)",
            (
                Source(
                    "vgg19-d01eb7cb.pth",
                    (
                        "https://web.eecs.umich.edu/~justincj/models/vgg19-d01eb7cb.pth",
                        "https://s3-us-west-2.amazonaws.com/jcjohns-models/vgg19-d01eb7cb.pth",
                    ),
                    575 * MB,
                    sha256="d01eb7cb",
                    checksum_from=TORCHVISION,
                ),
            ),
            "Search for vgg19-d01eb7cb.pth: projects on neural style keep copies. Without it, vgg19 has the same "
            "layers, but the published Deeper LSTM was not trained on its features.",
        ),
        Collection(
            "resnet152",
            "ResNet-152 trained on ImageNet, torchvision's first weights",
            "https://pytorch.org/vision/stable/models/resnet.html",
            "BSD-3-Clause (torchvision)",
            (_torchvision("resnet152-394f9c45.pth", 242 * MB),),
            _WEIGHTS_WITHOUT,
        ),
        Collection(
            "squeezenet1_1",
            "SqueezeNet 1.1 trained on ImageNet, torchvision's: small enough for a laptop",
            "https://pytorch.org/vision/stable/models/squeezenet.html",
            "BSD-3-Clause (torchvision)",
            (_torchvision("squeezenet1_1-b8a52dc0.pth", 5 * MB, 4958839),),
            _WEIGHTS_WITHOUT,
        ),
        Collection(
            "glove",
            "GloVe: word vectors of 200 and 300 numbers; at the latter the words of the published Pythia begin",
            "https://nlp.stanford.edu/projects/glove/",
            "PDDL",
            (
                Source(
                    "glove.6B.zip",
                    (
                        "https://nlp.stanford.edu/data/glove.6B.zip",
                        "https://downloads.cs.stanford.edu/nlp/data/glove.6B.zip",
                    ),
                    862 * MB,
                    862182613,
                    archive=Archive(("glove.6B.200d.txt", "glove.6B.300d.txt"), 2 * GB),
                ),
            ),
            "Search for glove.6B. Without it, train without --glove: the words then begin at random.",
        ),
        Collection(
            "deeper-lstm",
            "the published Deeper LSTM of VQA (lstm.t7) and its vocabulary (data_prepro.json)",
            "https://github.com/GT-Vision-Lab/VQA_LSTM_CNN",
            "BSD",
            (
                Source(
                    "pretrained_lstm_train_val.t7.zip",
                    (
                        "https://filebox.ece.vt.edu/~jiasenlu/codeRelease/vqaRelease/train_only/"
                        "pretrained_lstm_train_val.t7.zip",
                    ),
                    90 * MB,
                    archive=Archive(("*lstm*.t7",), 100 * MB),
                ),
                Source(
                    "data_train_val.zip",
                    ("https://filebox.ece.vt.edu/~jiasenlu/codeRelease/vqaRelease/train_only/data_train_val.zip",),
                    2 * GB,
                    archive=Archive(("data_prepro.json",), 3 * GB),
                ),
            ),
            "Search for lstm.t7 and data_prepro.json together: the numbers mean nothing without their vocabulary. "
            "Without them, train a Deeper LSTM of your own (python -m qgc train vqa1 …).",
        ),
        Collection(
            "pythia",
            "Pythia v0.1, which won the VQA challenge of 2018 (detectron_100_resnet_most_data), and its words",
            "https://github.com/facebookresearch/pythia/tree/v0.1",
            "BSD",
            (
                *(
                    Source(name, (f"https://dl.fbaipublicfiles.com/pythia/data/{name}",), about)
                    for name, about in (
                        ("vocabulary_vqa.txt", 150 * KB),
                        ("large_vocabulary_vqa.txt", 1 * MB),
                        ("answers_vqa.txt", 30 * KB),
                    )
                ),
                Source(
                    "detectron_100_resnet_most_data.tar.gz",
                    (
                        "https://dl.fbaipublicfiles.com/pythia/pretrained_models/detectron_100_resnet_most_data.tar.gz",
                        "https://s3-us-west-1.amazonaws.com/pythia-vqa/pretrained_models/"
                        "detectron_100_resnet_most_data.tar.gz",
                    ),
                    1 * GB,
                    archive=Archive(("best_model.pth", "config.yaml"), 2 * GB),
                ),
            ),
            "Search for detectron_100_resnet_most_data, or in the archives of the web. Without it, pythia/natural, the "
            "book's own Pythia for scenes, shows the same; or train one (python -m qgc train vqa2 --model pythia …).",
        ),
    )
}


def format_bytes(count: float) -> str:
    """A number of bytes for people, in powers of ten: 13.5 GB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def checksum_known(source: Source) -> str:
    """In a few words: how a download of this file is checked."""
    if len(source.sha256) == 64:
        return "sha256"
    if source.sha256:
        return f"sha256 {source.sha256}…"
    return "first download" + (", size" if source.size else "")


def size_known(source: Source) -> str:
    """A file's size in words, "about" where it is not known to the byte."""
    return format_bytes(source.bytes) if source.size else f"about {format_bytes(source.about)}"


def registry_table(collections: dict[str, Collection] | None = None) -> str:
    """The registry as a Markdown table: name, file, size, check and where it comes from."""
    rows = ["| fetch | file | size | checked by | from |", "|---|---|---|---|---|"]
    for collection in (COLLECTIONS if collections is None else collections).values():
        for source in collection.files:
            host = source.addresses[0].split("/")[2]
            rows.append(
                f"| `{collection.name}` | `{source.name}` | {size_known(source)} | {checksum_known(source)} | {host} |"
            )
    return "\n".join(rows)
