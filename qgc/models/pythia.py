"""Pythia v0.1 (Jiang et al. 2018): two glimpses at the question, attention on the image, a wide product.

q = [Σ_t α¹_t h_t, Σ_t α²_t h_t]    glimpses at the LSTM's outputs h; α = softmax_t conv2(ReLU(conv1(h)))
a_r = softmax_r WN(ReLU(WN r) ∘ ReLU(WN q))    attention over the regions r of one kind of image feature
f = [Σ_r a_r r of the boxes, Σ_r a_r r of the grid]
u = ReLU(WN q)    question branch
v = ReLU(WN f)    image branch: it sees the question, through the attention
A = u ∘ v         the fusion: the layer that the gate of the paper's §3.3 acts on
y = W_text ReLU(WN A) + W_image ReLU(WN A) + b    answer scores, from two hidden layers of different width

WN is a linear layer with weight normalisation (Salimans and Kingma 2016) with one length for the whole matrix.
The modules have the names of the published checkpoint (:func:`qgc.lab.published.pythia.checkpoint_state`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from . import backbones
from .backbones import SCENES, BackboneConfig
from .text import PAD, UNK, Vocabulary
from .vqa import VQA


@dataclass(frozen=True)
class PythiaConfig:
    """Sizes of a Pythia; the defaults are the scene-sized version.

    ``boxes`` is the width of a detector's feature of one box, 0 for a model that reads the grid alone. ``scale``
    divides the maps F where they become regions: the maps of the scenes' CNN are small numbers. ``tokens`` is how
    questions are cut into ``words``, ``longest`` the vocabulary's ``max_tokens``
    (:class:`qgc.models.text.Vocabulary`); stored cards have it under that name.
    """

    words: tuple[str, ...]
    answers: tuple[str, ...]
    embedding: int = 64
    hidden: int = 128
    conv1: int = 64
    glimpses: int = 2
    attention: int = 256
    combine: int = 1024
    text_head: int = 128
    image_head: int = 512
    longest: int = 14
    boxes: int = 0
    scale: float = 1.0
    dropout: float = 0.1
    tokens: str = "plain"
    cnn: BackboneConfig = field(default=SCENES)

    def as_dict(self) -> dict:
        """Plain data, for the header of a weights file."""
        return asdict(self)


def full_size(words, answers) -> PythiaConfig:
    """The published configuration: 100 boxes and the 14×14 grid of ResNet-152, 5000 combine neurons.

    ``words`` are the lines of the published vocabulary after its first, ``<unk>``, which is padding as well.
    """
    return PythiaConfig(
        tuple(words), tuple(answers), embedding=300, hidden=1024, conv1=512, attention=5000, combine=5000,
        text_head=300, image_head=5000, boxes=2048, dropout=0.0, cnn=backbones.named("resnet152", side=448),
    )  # fmt: skip


class SharedPadUnkVocabulary(Vocabulary):
    """Words as Pythia numbers them: index 0 is both padding and any unknown word, the words follow from 1."""

    def __len__(self) -> int:
        """How many indices there are: the words, and the one that padding and unknown words share."""
        return len(self.words) + 1

    def encode(self, question: str, quiet: bool = False) -> Tensor:
        """Indices (T,) of a question's words, with the warnings and errors of :meth:`Vocabulary.encode`."""
        return (super().encode(question, quiet) - UNK).clamp_min(PAD)


class WeightNorm(nn.Module):
    """Weight normalisation with one length for the matrix: W = g V / ‖V‖, ‖V‖ its Frobenius norm (``dim=None``)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        plain = nn.Linear(inputs, outputs)
        self.bias = plain.bias
        self.weight_g = nn.Parameter(plain.weight.detach().norm())
        self.weight_v = plain.weight

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw V and b again as PyTorch starts a linear layer, with W = V."""
        plain = nn.Linear(*self.weight_v.shape[::-1])
        for own, drawn in (
            (self.weight_v, plain.weight),
            (self.bias, plain.bias),
            (self.weight_g, plain.weight.norm()),
        ):
            own.copy_(drawn)

    @property
    def factor(self) -> Tensor:
        """g / ‖V‖, (): multiplying the output by it is cheaper than multiplying the matrix."""
        return self.weight_g / self.weight_v.norm()

    def forward(self, x: Tensor) -> Tensor:
        """W x + b."""
        return nn.functional.linear(x, self.weight_v) * self.factor + self.bias


class Nonlinear(nn.Module):
    """ReLU(WN x)."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.main = nn.Sequential(WeightNorm(inputs, outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(WN x)."""
        return self.main(x)


class Product(nn.Module):
    """Both sides of ReLU(WN image) ∘ ReLU(WN question)."""

    def __init__(self, image: int, question: int, size: int):
        super().__init__()
        self.Fa_image = Nonlinear(image, size)
        self.Fa_txt = Nonlinear(question, size)


class Transform(nn.Module):
    """The attention's last layer, from the product to one number per region."""

    def __init__(self, size: int):
        super().__init__()
        self.lc = WeightNorm(size, 1)


class TopDownAttention(nn.Module):
    """Attention of a question over the regions of an image."""

    def __init__(self, image: int, question: int, size: int):
        super().__init__()
        self.modal_combine = Product(image, question, size)
        self.transform = Transform(size)

    def question_factor(self, q: Tensor) -> Tensor:
        """The question's side times the last layer's weights (..., A); times a region's side it is the logit."""
        lc = self.transform.lc
        return self.modal_combine.Fa_txt(q) * (lc.weight_v[0] * lc.factor)

    def forward(self, regions: Tensor, q: Tensor) -> Tensor:
        """a (B, P, R), adding up to 1 over the regions (B, R, D), for P questions q (B, P, Q) per image."""
        # WN(image ∘ question) for all pairs in one product, so that no pair's vector takes memory
        logits = self.question_factor(q) @ self.modal_combine.Fa_image(regions).mT + self.transform.lc.bias
        return logits.softmax(-1)

    def slopes(self, regions: Tensor, q: Tensor) -> Tensor:
        """∂logit_r/∂r (R, D), for each of the regions (R, D) of one image and one question q (Q,)."""
        layer = self.modal_combine.Fa_image.main[0]
        return (self.question_factor(q) * (layer(regions) > 0)) @ (layer.weight_v * layer.factor)


class ImageEmbedding(nn.Module):
    """The regions' mean, weighted by attention."""

    def __init__(self, image: int, question: int, size: int):
        super().__init__()
        self.image_attention_model = TopDownAttention(image, question, size)

    def forward(self, regions: Tensor, q: Tensor) -> Tensor:
        """Σ_r a_r r, (B, P, D), of regions (B, R, D) and P questions q (B, P, Q) per image."""
        return self.image_attention_model(regions, q) @ regions


class QuestionEmbedding(nn.Module):
    """Words → LSTM → two glimpses."""

    def __init__(self, words: int, config: PythiaConfig):
        super().__init__()
        self.max_tokens = config.longest
        self.embedding = nn.Embedding(words, config.embedding)
        self.LSTM = nn.LSTM(config.embedding, config.hidden, batch_first=True)
        self.conv1 = nn.Conv1d(config.hidden, config.conv1, 1)
        self.conv2 = nn.Conv1d(config.conv1, config.glimpses, 1)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, w: Tensor) -> Tensor:
        """q (B, Q) of word embeddings w (B, T, E).

        As published, every question is padded to ``max_tokens`` words with the embedding of the padding, which the
        glimpses see too: so q does not depend on how far a batch was padded.
        """
        missing = self.max_tokens - w.shape[1]
        padding = self.embedding.weight[PAD].expand(len(w), missing, -1)
        h, _ = self.LSTM(torch.cat([w, padding], 1))
        h = self.drop(h)
        glimpses = self.conv2(self.conv1(h.mT).relu()).softmax(2)  # (B, glimpses, T)
        return (glimpses @ h).flatten(1)


class Classifier(nn.Module):
    """Answer scores from two hidden layers, designed to be initialised from the answers' texts and images."""

    def __init__(self, config: PythiaConfig):
        super().__init__()
        self.f_o_text = Nonlinear(config.combine, config.text_head)
        self.f_o_image = Nonlinear(config.combine, config.image_head)
        self.linear_text = nn.Linear(config.text_head, len(config.answers))
        self.linear_image = nn.Linear(config.image_head, len(config.answers))

    def forward(self, A: Tensor) -> Tensor:
        """y = W_text ReLU(WN A) + W_image ReLU(WN A) + b, (B, answers)."""
        return self.linear_text(self.f_o_text(A)) + self.linear_image(self.f_o_image(A))


class BoxEncoding(nn.Module):
    """fc7 of the detector, which is fine-tuned: ReLU(W fc6 + b)."""

    def __init__(self, size: int):
        super().__init__()
        self.lc = nn.Linear(size, size)

    def forward(self, boxes: Tensor) -> Tensor:
        """Boxes' features (B, N, D), from their fc6 features."""
        return self.lc(boxes).relu()


class Pythia(VQA):
    """The model; see the module's docstring for the equations.

    For scenes ``cnn`` is the whole :class:`~qgc.models.backbones.VGGLike`, so that its file can be shared with a Deeper
    LSTM; Pythia does not use its fc6 and fc7.
    """

    def __init__(self, config: PythiaConfig):
        super().__init__()
        self.config = config
        self.vocabulary = SharedPadUnkVocabulary(config.words, config.longest, config.tokens)
        self.answers = list(config.answers)
        self.combine = config.combine
        self.cnn = backbones.build(config.cnn)
        question, channels = config.glimpses * config.hidden, self.cnn.channels
        kinds = [config.boxes, channels] if config.boxes else [channels]
        encoders = [BoxEncoding(config.boxes)] if config.boxes else []
        self.image_feature_encode_list = nn.ModuleList([*encoders, nn.Identity()])
        self.image_embedding_models_list = nn.ModuleList(
            nn.ModuleList([ImageEmbedding(size, question, config.attention)]) for size in kinds
        )
        self.question_embedding_models = nn.ModuleList([QuestionEmbedding(len(self.vocabulary), config)])
        self.multi_modal_combine = Product(sum(kinds), question, config.combine)
        self.classifier = Classifier(config)
        self.drop = nn.Dropout(config.dropout)

    def conv(self, x: Tensor) -> Tensor:
        """Maps F (B, K, h, w) of the CNN's last convolution."""
        return self.cnn(x)

    # -- the question -----------------------------------------------------------------------------
    def embed(self, tokens: Tensor) -> Tensor:
        """Word embeddings w (B, T, E)."""
        return self.question_embedding_models[0].embedding(tokens)

    def encode_words(self, w: Tensor, lengths: Tensor) -> Tensor:
        """q (B, Q) of word embeddings (B, T, E); ``lengths`` are not needed, since the model sees its padding."""
        return self.question_embedding_models[0](w)

    # -- the image --------------------------------------------------------------------------------
    def regions(self, F: Tensor) -> Tensor:
        """The cells of the maps F (B, K, h, w) as regions (B, h·w, K), divided by ``config.scale``."""
        return F.flatten(2).mT / self.config.scale

    def attention(self, F: Tensor, q: Tensor) -> Tensor:
        """How much each cell of the grid is attended to, (B, h, w), adding up to 1; to be compared with Grad-CAM."""
        model = self.image_embedding_models_list[-1][0].image_attention_model
        a = model(self.regions(F), q[:, None])
        return a[:, 0].unflatten(1, F.shape[2:])

    def attended(self, regions: Tensor, q: Tensor, boxes: Tensor | None = None) -> Tensor:
        """f (B, P, ·): what each of P questions q (B, P, Q) attends to in its image's regions (B, R, K).

        ``boxes`` (B, N, ``config.boxes``) are a detector's fc6 features. Where the model reads boxes and none are
        given, their part of f is zero: it then answers by the grid alone, as if the detector had detected nothing.
        """
        grid = self.image_embedding_models_list[-1][0](regions, q)
        if not self.config.boxes:
            return grid
        if boxes is None:
            attended_boxes = grid.new_zeros(*grid.shape[:2], self.config.boxes)
        else:
            encoded = self.image_feature_encode_list[0](boxes)
            attended_boxes = self.image_embedding_models_list[0][0](encoded, q)
        return torch.cat([attended_boxes, grid], 2)

    def attended_branches(self, f: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """u = ReLU(WN q) and v = ReLU(WN f), (B, J) each, of what :meth:`attended` gave."""
        return self.multi_modal_combine.Fa_txt(q), self.multi_modal_combine.Fa_image(f)

    def branches(self, F: Tensor, q: Tensor, boxes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """u and v (B, J); ``boxes`` as in :meth:`attended`. One image F (1, K, h, w) may have many questions q."""
        return self.attended_branches(self.attended(self.regions(F), q[:, None], boxes)[:, 0], q)

    def classify(self, A: Tensor) -> Tensor:
        """y (B, answers), from both hidden layers."""
        return self.classifier(self.drop(A))

    # -- closed form ------------------------------------------------------------------------------
    @torch.no_grad()
    def question_pooled_jacobian(self, F: Tensor, q: Tensor) -> Tensor:
        """M (J, K) with M_jk = (1/Z) Σ_ij ∂v_j/∂F^k_ij, of one image F and one question q, by the grid alone.

        v = ReLU(W f + b) has the slope W where it is positive, and f = Σ_r a_r r with a = softmax(logits) has

            Σ_r ∂f/∂r = I + Σ_r a_r (r − f) (∂logit_r/∂r)ᵀ

        in which no matrix has a row for every pair of a neuron and a region. r = F / ``config.scale``.
        """
        model = self.image_embedding_models_list[-1][0].image_attention_model
        regions = self.regions(F)
        a = model(regions, q[:, None])[0, 0]
        f, r = a @ regions[0], regions[0]
        pooled = torch.eye(len(f), dtype=f.dtype, device=f.device)
        pooled += (a[:, None] * (r - f)).mT @ model.slopes(r, q[0])
        layer = self.multi_modal_combine.Fa_image.main[0]
        slope = layer.weight_v[:, -len(f) :] * layer.factor  # the grid's part of f comes last
        v = self.branches(F, q)[1][0]
        return (v > 0)[:, None] * (slope @ pooled) / (F.shape[2] * F.shape[3] * self.config.scale)
