"""The tokens that all prompts begin with: run once, their keys and values laid before each row."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


class Prefix:
    """The keys and values of the tokens that all prompts share; of none, where they share none.

    A 10-shot prompt of 1500 tokens costs Llama-2-7B 0.8 GB a row in bf16. `cache` writes that once
    into the buffers that the batch's own tokens are appended to in place, so a batch needs what
    its keys and values take and nothing besides: no copy of the prefix, and no new tensor of the
    whole at each step, as transformers' own growing cache makes.

    The padding of a batch stands between the prefix and a row's own tokens. Full attention masks
    it; a sliding window, which counts tokens, would see less of a short row. So models with other
    layers than those of full attention (`fits`) have no prefix: their rows are padded before the
    first token.
    """

    @staticmethod
    def fits(model: PreTrainedModel) -> bool:
        """Whether each layer of the model sees all tokens before the one that it is at."""
        return all(
            type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers
        )

    def __init__(self, model: PreTrainedModel, ids: Sequence[int]) -> None:
        self._cache = DynamicCache(config=model.config)
        if ids:
            model(
                input_ids=torch.tensor([ids], device=model.device),
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )

    def cache(self, rows: int, room: int) -> DynamicCache:
        """A cache of `rows` rows that begin with the prefix, with room for `room` tokens in all.

        Layers of another kind are empty, and grow.
        """
        cache = copy.copy(self._cache)
        cache.layers = [
            _RoomyLayer(layer, rows, room) if type(layer) is DynamicLayer else copy.deepcopy(layer)
            for layer in self._cache.layers
        ]
        return cache


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]  # an untyped base
    """Keys and values in buffers [rows, heads, room, head size] that are as long as they will be.

    `keys` and `values` are the part that is filled.
    """

    def __init__(self, prefix: DynamicLayer, rows: int, room: int) -> None:
        super().__init__()
        self._rows, self._room = rows, room
        if prefix.is_initialized:
            self.update(
                prefix.keys.expand(rows, -1, -1, -1), prefix.values.expand(rows, -1, -1, -1)
            )

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        """Append the keys and values of more tokens, [rows, heads, tokens, head size]."""
        start, more = self.get_seq_length(), (key_states, value_states)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._buffers = [
                states.new_empty(self._rows, states.shape[1], self._room, states.shape[3])
                for states in more
            ]
        end = start + key_states.shape[2]
        for buffer, states in zip(self._buffers, more, strict=True):
            buffer[:, :, start:end] = states
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self.keys, self.values
