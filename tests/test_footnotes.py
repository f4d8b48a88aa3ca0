"""What stands under the tables about how the models were made."""

from qunlearn.experiment.config import resolve
from qunlearn.report.footnotes import footnotes, learning_rates


def test_the_footer_says_how_models_were_trained_and_quantized() -> None:
    unlearn = {"adapters": ["lora"], "overrides": {"books/*": {"lr": 0.5}}}
    precisions = ["bf16", "nf4", "gptq4"]
    notes = footnotes(resolve({"unlearn": unlearn, "precisions": precisions}))

    assert [note for note in notes if "rank 16, alpha 16, dropout 0.05" in note] == notes[:1]
    assert notes[1].startswith("Learning rates: LoRA ")
    assert notes[2].startswith("bitsandbytes")
    assert "128 sequences of 512 tokens of retain1" in notes[3]
    assert notes[4].startswith("Embeddings")
    assert notes[5].startswith("KnowMem and Utility use the benchmark's prompt")
    plain = footnotes(resolve({"precisions": ["bf16"], "unlearn": {"adapters": ["full"]}}))
    assert plain[1:] == notes[4:]
    assert plain[0].startswith("Learning rates: FT (fp32 masters) 1e-05.")


def test_learning_rates_are_named_by_variant_and_by_cell_where_they_differ() -> None:
    settings = {"lr": 2e-5}
    overrides = {"*/*/lora": {"lr": 1e-4}, "books/npo_gdr/full": {"lr": 0.5}}
    unlearn = {
        "objectives": ["npo_gdr"],
        "adapters": ["full", "full_bf16", "lora"],
        "settings": settings,
        "overrides": overrides,
    }
    config = resolve({"corpora": ["news", "books"], "unlearn": unlearn})
    assert learning_rates(config).startswith(
        "Learning rates: FT (fp32 masters) 2e-05 (NEWS NPO+GDR), 0.5 (BOOKS NPO+GDR); "
        "FT (bf16 weights) 2e-05; LoRA 0.0001. How much"
    )
    grid = {"news/npo_gdr/lora": {"lr": [1e-4, 7e-4]}}
    swept = resolve({"corpora": ["news"], "unlearn": unlearn, "sweep": grid})
    assert "LoRA chosen from a grid." in learning_rates(swept)


def test_the_footer_names_weights_that_were_quantized_before() -> None:
    models = {"base": "gguf:some_package/model.Q4_1.gguf"}
    notes = footnotes(resolve({"models": models, "corpora": ["news", "books"]}))
    named = [note for note in notes if "model.Q4_1.gguf" in note]
    assert len(named) == 1 and named[0].startswith("The base is some_package/model.Q4_1.gguf")
    given = {**models, "target": "folder", "retrain": "folder"}  # nothing comes from the base
    assert not any("gguf" in note for note in footnotes(resolve({"models": given})))


def test_the_footer_says_where_questions_were_not_asked_as_the_benchmark_does() -> None:
    notes = footnotes(resolve({"evaluate": {"prompt": "plain"}}))
    assert "cannot be compared with published numbers" in notes[-1]
