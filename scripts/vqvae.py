"""A small VQ-VAE: frames become a grid of codes out of a learned book, and frames again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """What the weights depend on: a checkpoint of another shape does not fit.

    Frames are `image_size` wide and high, a multiple of 4; codes lie on a grid of a quarter of that. The book has
    `codes` of `code_size` numbers each; the layers between have `width` channels.
    """

    image_size: int = 64
    codes: int = 128
    code_size: int = 32
    width: int = 64


@dataclass(frozen=True, slots=True)
class Coded:
    """What became of a batch: the frames made anew, and how well that went.

    `reconstruction` and `commitment` are the two losses, `perplexity` tells how many codes were used, as if each of
    them were used equally often.
    """

    frames: Tensor
    reconstruction: Tensor
    commitment: Tensor
    perplexity: Tensor

    @property
    def loss(self) -> Tensor:
        """What is made small."""
        return self.reconstruction + 0.25 * self.commitment


class Residual(nn.Module):
    """Two convolutions, whose outcome is added to what went in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape as `x`."""
        return x + self.layers(x)


class Codebook(nn.Module):
    """The nearest code for each vector. In training the codes follow the vectors, as a moving average.

    It begins with vectors of the first batch, and a code that is chosen less often than `idle` times the average
    becomes a vector of the present batch: so no part of the book lies idle. All of that is in the buffers and in
    torch's random state, so that a training can go on.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor
    begun: Tensor

    def __init__(self, codes: int, size: int, decay: float = 0.95, idle: float = 0.1) -> None:
        super().__init__()
        self.decay, self.idle = decay, idle
        self.register_buffer("codes", torch.randn(codes, size))
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", torch.zeros(codes, size))
        self.register_buffer("begun", torch.tensor(False))

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The grid (batch x size x height x width) made of codes, the commitment loss, and the perplexity."""
        vectors = grid.permute(0, 2, 3, 1).reshape(-1, grid.shape[1])
        if self.training and not self.begun:
            self._begin(vectors.detach())
        distances = self.codes.square().sum(1) - 2 * vectors.detach() @ self.codes.T
        chosen = functional.one_hot(distances.argmin(1), len(self.codes)).to(vectors.dtype)
        nearest = chosen @ self.codes
        if self.training:
            self._follow(vectors.detach(), chosen)
        share = chosen.mean(0)
        perplexity = torch.exp(-(share * (share + 1e-10).log()).sum())
        commitment = functional.mse_loss(vectors, nearest)
        passed = vectors + (nearest - vectors).detach()  # the gradient goes past the choice
        batch, size, height, width = grid.shape
        return passed.reshape(batch, height, width, size).permute(0, 3, 1, 2), commitment, perplexity

    def _begin(self, vectors: Tensor) -> None:
        self.codes.copy_(_some(vectors, len(self.codes)))
        self.counts.fill_(len(vectors) / len(self.codes))
        self.sums.copy_(self.codes * self.counts[:, None])
        self.begun.fill_(True)

    def _follow(self, vectors: Tensor, chosen: Tensor) -> None:
        self.counts.lerp_(chosen.sum(0), 1 - self.decay)
        self.sums.lerp_(chosen.T @ vectors, 1 - self.decay)
        usual = len(vectors) / len(self.codes)
        idle = (self.counts < self.idle * usual)[:, None]
        some = _some(vectors, len(self.codes))  # drawn in each step, so that the draws do not hang on who is idle
        self.sums.copy_(torch.where(idle, some * usual, self.sums))
        self.counts.copy_(torch.where(idle[:, 0], torch.full_like(self.counts, usual), self.counts))
        self.codes.copy_(self.sums / self.counts[:, None])


class VQVAE(nn.Module):
    """Frames (batch x 3 x height x width, from 0 to 1) to codes, and back."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width = shape.width
        self.encoder = nn.Sequential(
            nn.Conv2d(3, width // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 4, stride=2, padding=1),
            Residual(width),
            Residual(width),
            nn.ReLU(),
            nn.Conv2d(width, shape.code_size, 1),
        )
        self.codebook = Codebook(shape.codes, shape.code_size)
        self.decoder = nn.Sequential(
            nn.Conv2d(shape.code_size, width, 3, padding=1),
            Residual(width),
            Residual(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width // 2, 3, 4, stride=2, padding=1),
        )

    def forward(self, frames: Tensor) -> Coded:
        """A batch of frames, made anew."""
        grid, commitment, perplexity = self.codebook(self.encoder(frames))
        made = self.decoder(grid)
        return Coded(made, functional.mse_loss(made, frames), commitment, perplexity)


def _some(vectors: Tensor, count: int) -> Tensor:
    """So many of the vectors, drawn at random on the CPU: the same ones whatever device they are on."""
    return vectors[torch.randint(len(vectors), (count,)).to(vectors.device)]
