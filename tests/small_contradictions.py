"""Configurations whose values are each right by themselves, and not together."""

from hypothesis import strategies as st
from small_configs import PATTERN, Broken, of, tiny


def _odd(size: int, divisor: int) -> int:
    """`size`, or the next that `divisor` does not divide."""
    return size if size % divisor else size + 1


@st.composite
def contradictions(draw: st.DrawFn) -> Broken:
    """Values that are each right by themselves."""
    n = draw(st.integers(2, 60))
    model = draw(st.sampled_from(["base", "target", "retrain"]))
    changes, words = draw(
        st.sampled_from(
            [
                ({"train": {model: {"log_every": n, "checkpoint_every": _odd(7 * n - 1, n)}}},
                 (f"train.{model}.checkpoint_every",)),
                ({"unlearn": {"settings": {"log_every": n, "checkpoint_every": n + 1}}},
                 ("checkpoint_every",)),
                ({"unlearn": {"settings": {"batch_size": 3 * n + 1, "micro_batch_size": 3}}},
                 ("micro_batch_size",)),
                ({"unlearn": {"overrides": {f"{'*' * n}/lora": {"micro_batch_size": 17}}}},
                 ("micro_batch_size", "news/npo_klr/lora")),
                ({"precisions": ["nf4", f"rtn{2 + n % 7}"]}, ("precisions", "bf16")),
                ({"precisions": ["bf16", f"rtn{9 + n}"]}, ("precisions", f"rtn{9 + n}")),
                ({"precisions": ["bf16", f"rtn4g{64 + n}"]}, ("precisions", f"rtn4g{64 + n}")),
                ({"precisions": ["bf16", f"gptq4g{n + 700}"]}, ("precisions", f"gptq4g{n + 700}")),
                ({"precisions": ["bf16", f"nf{n + 5}\u0663"]}, ("precisions",)),
                ({"controls": True, "unlearn": {"adapters": ["lora"]}}, ("controls",)),
                ({"controls": True, "precisions": ["bf16", "nf4"]}, ("controls",)),
                ({"controls": True, "control_settings": {"lambdas": [n, n + 1e-9]}}, ("lambdas",)),
                ({"controls": True, "control_settings": {"lambdas": [n * 1e-9]}}, ("lambdas",)),
                ({"controls": True, "control_settings": {"lambdas": [n * 1e9]}}, ("lambdas",)),
                ({"sweep": {"*": {"rank": [n]}}}, ("sweep", "rank")),
                ({"sweep": {PATTERN: {"lr": [n, n + 1e-9]}}}, ("sweep",)),
                ({"sweep": {PATTERN: {"lr": [n]}}, "selection": {"rule": "fixed"}},
                 ("selection.fixed",)),
                ({"sweep": {PATTERN: {"rank": [n]}},
                  "selection": {"rule": "fixed", "fixed": {PATTERN: f"r{n + 1}/epoch8"}}},
                 ("selection.fixed", f"r{n + 1}")),
                ({"seed_scope": "all", "models": {"target": f"x{n}"}}, ("seed_scope",)),
                ({"models": {"tokenizer": f"x{n}"}}, ("models.tokenizer",)),
                ({"models": {"base": "train"}}, ("models.base",)),
                ({"models": {"target": {"books": f"x{n}"}}}, ("models.target.news",)),
                ({"models": {"shape": f"x{n}", "target": f"x{n}"}}, ("models.target",)),
                ({"models": {"architecture": {"heads": 2 * n + 1, "hidden": 64}}}, ("heads",)),
                ({"models": {"architecture": {"heads": 64, "hidden": 64}}}, ("heads",)),
                ({"models": {"architecture": {"context": 16 + n}}}, ("tokens",)),
                ({"models": {"architecture": {"layers": n * 10**6}}}, ("need",)),
                ({"corpus": {"source": "local"}}, ("muse_dir",)),
                ({"corpus": {"source": "local"}, "muse_dir": f"x{n}"}, ("muse_dir", f"x{n}")),
                ({"corpus": {"source": "local"}, "muse_dir": f"-x{n}"}, ("muse_dir", "flag")),
                ({"corpus": {"source": "hub"}}, ("corpus.hub.news",)),
                ({"corpus": {"source": "hub", "hub": {"news": f"MUSE{n}"}}}, ("corpus.hub.news",)),
                ({"corpus": {"source": "hub", "hub": {"news": f"a/b{n}"}}}, ("revisions",)),
                ({"corpus": {"source": "hub", "hub": {"news": "a/b"}},
                  "revisions": {"a/b": "0" * (n % 40)}}, ("revisions", "a/b")),
                ({"corpora": [f"poems{n}"]}, ("corpora", f"poems{n}")),
                ({"corpus": {"mini": {"forget": n * 10**6}}}, ("corpus.mini",)),
                ({"corpus": {"mini": {"pretrain": n * 10**7}}}, ("corpus.mini",)),
                ({"corpus": {"mini": {"questions": n * 1000}}}, ("corpus.mini",)),
                ({"corpus": {"mini": {"card_copies": n * 10**7}}}, ("corpus.mini",)),
                ({"corpus": {"mini": {"shots": n * 10**7}}}, ("corpus.mini",)),
                ({"corpus": {"excerpt": {"characters": n}}}, ("corpus.excerpt",)),
                ({"evaluate": {"verbmem_tokens": 256 + n}}, ("evaluate.verbmem_tokens",)),
                ({"unlearn": {"settings": {"max_tokens": 256 + n}}}, ("max_tokens",)),
                ({"quantization": {"calibration": {"length": 256 + n}}}, ("calibration.length",)),
                ({"resources": {"evaluate": {"gpu": n}}}, ("resources.evaluate.gpu",)),
                ({"python": f"no-such-python-{n}"}, ("python", f"no-such-python-{n}")),
                ({"experiment": "x" * (200 + n)}, ("experiment",)),
                ({"corpora": ["news", "x" * (200 + n)]}, ("corpora",)),
            ]
        )
    )  # fmt: skip
    return of(tiny(changes), *words)
