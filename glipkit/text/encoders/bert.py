"""BERT as a text encoder, and its layer for reuse in a detection head.

Post-norm transformer of Devlin et al., "BERT", NAACL 2019, section 3, with the parameter names of
Hugging Face's ``BertModel`` without pooler, so that public weights load as they are.
Letters in shapes: B captions, T tokens, C channels, h heads.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from glipkit.checkpoints.packaged import hold_packaged
from glipkit.common.linear import linear_layer
from glipkit.errors import UserError
from glipkit.registry import MODELS
from glipkit.text.encoders.sentences import SentenceReader
from glipkit.text.structures import TextFeatures, TextTokens
from glipkit.text.tokenizers import build_tokenizer


def _clamp(x: Tensor, bound: float | None) -> Tensor:
    return x if bound is None else x.clamp(-bound, bound)


class SelfAttention(nn.Module):
    """Multi-head self-attention up to, not including, the output projection."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float,
                 clamp: float | None) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise UserError('a hidden size that the heads divide',
                            f'hidden_size {hidden_size}, num_heads {num_heads}',
                            'change one of them')
        self.num_heads, self.dropout, self.clamp = num_heads, dropout, clamp
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            linear_layer(projection, hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value))  # (B, h, T, C / h)
        keys_seen = mask[:, None, None, :]
        if self.clamp is None:
            context = F.scaled_dot_product_attention(
                query, key, value, attn_mask=keys_seen,
                dropout_p=self.dropout if self.training else 0.)
        else:
            context = self._attend_clamped(query, key, value, keys_seen)
        return context.transpose(1, 2).flatten(2)

    def _attend_clamped(self, query: Tensor, key: Tensor, value: Tensor,
                        keys_seen: Tensor) -> Tensor:
        scores = query @ key.transpose(-2, -1) * query.shape[-1]**-0.5
        scores = _clamp(scores, self.clamp).masked_fill(~keys_seen, float('-inf'))
        weights = F.dropout(scores.softmax(dim=-1), self.dropout, self.training)
        return weights.to(value.dtype) @ value


class ResidualOutput(nn.Module):
    """Projection and dropout, added to the residual, then LayerNorm.

    ``clamp`` bounds the branch before the addition and the normed sum.
    """

    def __init__(self, in_size: int, hidden_size: int, dropout: float, eps: float,
                 clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.dense = nn.Linear(in_size, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, branch: Tensor, residual: Tensor) -> Tensor:
        branch = _clamp(self.dropout(linear_layer(self.dense, branch)), self.clamp)
        return _clamp(self.LayerNorm(branch + residual), self.clamp)


class Intermediate(nn.Module):
    """First half of the feed-forward network: projection and the exact (erf) GELU."""

    def __init__(self, hidden_size: int, intermediate_size: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.dense = nn.Linear(hidden_size, intermediate_size)

    def forward(self, hidden: Tensor) -> Tensor:
        # GELU never exceeds its input, so this also keeps the bound after GELU.
        if self.clamp is None:
            return linear_layer(self.dense, hidden, 'gelu')
        return F.gelu(_clamp(linear_layer(self.dense, hidden), self.clamp))


@MODELS.register_module()
class BertLayer(nn.Module):
    """One post-norm BERT layer, initialised with PyTorch's defaults.

    Args:
        hidden_size: Channels C.
        num_heads: Attention heads; must divide ``hidden_size``.
        intermediate_size: Width of the feed-forward network.
        dropout: Dropout rate of the attention weights and of both branches.
        eps: Epsilon of the LayerNorms.
        clamp: Bound of the layers that the official GLIP adds in its head; None for plain BERT.
            It limits the attention scores (scaled, before the mask) and the outputs of the first
            feed-forward projection, of GELU, of the second projection with its dropout, and of
            the last LayerNorm. The official bound is 50000.
    """

    def __init__(self, hidden_size: int = 768, num_heads: int = 12,
                 intermediate_size: int = 3072, dropout: float = 0.1, eps: float = 1e-12,
                 clamp: float | None = None) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({
            'self': SelfAttention(hidden_size, num_heads, dropout, clamp),
            'output': ResidualOutput(hidden_size, hidden_size, dropout, eps)})
        self.intermediate = Intermediate(hidden_size, intermediate_size, clamp)
        self.output = ResidualOutput(intermediate_size, hidden_size, dropout, eps, clamp)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Applies the layer.

        Args:
            hidden: (B, T, C).
            mask: (B, T) bool, True for real tokens; each row needs at least one.

        Returns:
            (B, T, C). Real rows do not depend on padding; rows of padding have no meaning.
        """
        context = self.attention['self'](hidden, mask)
        hidden = self.attention['output'](context, hidden)
        return self.output(self.intermediate(hidden), hidden)

    def low_rank_layers(self) -> list[nn.Linear]:
        """The projections of the attention."""
        return [layer for layer in self.attention.modules() if isinstance(layer, nn.Linear)]


class Embeddings(nn.Module):
    """Word, position and segment embeddings, LayerNorm, dropout. Captions are one segment."""

    def __init__(self, vocab_size: int, hidden_size: int, max_positions: int, dropout: float,
                 eps: float) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab_size, hidden_size, padding_idx=0)
        self.position_embeddings = nn.Embedding(max_positions, hidden_size)
        self.token_type_embeddings = nn.Embedding(2, hidden_size)
        self.LayerNorm = nn.LayerNorm(hidden_size, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)
        segments = torch.zeros_like(ids)
        summed = (self.word_embeddings(ids) + self.token_type_embeddings(segments)
                  + self.position_embeddings(positions))
        return self.dropout(self.LayerNorm(summed))


@MODELS.register_module()
class BertEncoder(nn.Module):
    """BERT's last hidden states. The defaults are BERT-base-uncased.

    Weights start as in BERT, normal with deviation 0.02; parameter names equal those of Hugging
    Face's ``BertModel`` without pooler.

    Args:
        vocab_size: Rows of the word embedding.
        hidden_size: Channels C.
        num_layers: Transformer layers.
        num_heads: Attention heads per layer.
        intermediate_size: Width of the feed-forward networks.
        max_positions: Largest number of tokens of a caption.
        dropout: Dropout rate of all layers.
        eps: Epsilon of the LayerNorms.
        with_cp: Whether to checkpoint each layer: less memory, one more forward pass.
        tokenizer: Config of the tokenizer that cuts captions for this encoder; None takes BERT's
            uncased word pieces.
        per_sentence: Whether each sentence of a caption, up to a full stop, is read by itself, as
            sub-sentence attention does in Grounding DINO (section 3.4): the features of a class
            name then do not depend on the others of its prompt.
        packaged: Arguments of :func:`glipkit.checkpoints.packaged.read_packaged`: the weights of a
            package, which stay as they are and are not in checkpoints. None: weights of its own.

    Attributes:
        tokenizer: The tokenizer.
    """

    #: Class of the tokenizer where a config names none.
    default_tokenizer = 'BertTokenizer'
    token_features = True

    def __init__(self, vocab_size: int = 30522, hidden_size: int = 768, num_layers: int = 12,
                 num_heads: int = 12, intermediate_size: int = 3072, max_positions: int = 512,
                 dropout: float = 0.1, eps: float = 1e-12, with_cp: bool = False,
                 tokenizer: dict | None = None, per_sentence: bool = False,
                 packaged: dict | None = None) -> None:
        super().__init__()
        self.tokenizer = build_tokenizer(tokenizer, self.default_tokenizer)
        self.vocab_size = vocab_size
        self.hidden_size, self.max_positions, self.with_cp = hidden_size, max_positions, with_cp
        self.embeddings = Embeddings(vocab_size, hidden_size, max_positions, dropout, eps)
        self.encoder = nn.ModuleDict({'layer': nn.ModuleList(
            BertLayer(hidden_size, num_heads, intermediate_size, dropout, eps)
            for _ in range(num_layers))})
        self.apply(_init_as_bert)
        self._held = packaged is not None
        if self._held:
            hold_packaged(self, packaged)
        self._sentences = None
        if per_sentence:
            self._sentences = SentenceReader(self.tokenizer, 20_000 if self._held else 0)

    def train(self, mode: bool = True) -> BertEncoder:
        """As of any module; an encoder with weights of a package stays in evaluation mode."""
        return super().train(mode and not self._held)

    def forward(self, tokens: TextTokens) -> TextFeatures:
        """Encodes captions; ids are moved to the device of the weights.

        Args:
            tokens: B captions of T token slots.

        Returns:
            Last hidden states (B, T, C) and the mask. Real rows do not depend on padding.

        Raises:
            UserError: More tokens than the encoder has positions.
        """
        if tokens.ids.shape[1] > self.max_positions:
            raise UserError(f'at most {self.max_positions} tokens per caption',
                            f'{tokens.ids.shape[1]} tokens',
                            'shorten the caption, or split the class list')
        tokens = tokens.to(self.embeddings.word_embeddings.weight.device)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._held):
            if self._sentences is None:
                hidden = self._read(tokens.ids, tokens.mask)
            else:
                hidden = self._sentences(tokens, self._read)
        return TextFeatures(hidden, tokens.mask)

    def _read(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids and mask (B, T) -> hidden states (B, T, C)."""
        hidden = self.embeddings(ids)
        for layer in self.encoder['layer']:
            if self.with_cp and torch.is_grad_enabled():
                hidden = checkpoint(layer, hidden, mask, use_reentrant=False)
            else:
                hidden = layer(hidden, mask)
        return hidden

    def layer_groups(self) -> list[nn.Module]:
        """Parts from the input to the output, for layer-wise rates and freezing."""
        return [self.embeddings, *self.encoder['layer']]


def _init_as_bert(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])
