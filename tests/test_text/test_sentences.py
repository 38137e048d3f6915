"""Sentences of a caption are read one by one."""
import torch

from glipkit.text.encoders.bert import BertEncoder
from glipkit.text.encoders.sentences import SentenceReader
from glipkit.text.tokenizers import BertTokenizer

SMALL = dict(hidden_size=8, num_layers=2, num_heads=2, intermediate_size=16, max_positions=64)


def encoder(**more):
    torch.manual_seed(0)
    return BertEncoder(**SMALL, dropout=0., **more).eval()


def test_features_of_a_name_do_not_depend_on_the_others():
    read = encoder(per_sentence=True)
    tokens = read.tokenizer(['red cup. dog. teddy bear', 'dog', 'a cat. dog.'])
    hidden = read(tokens).hidden
    alone = encoder()(read.tokenizer(['dog'])).hidden[0]  # [CLS] dog [SEP]
    assert torch.allclose(hidden[1, :3], alone, atol=1e-6)
    # [CLS] red cup . dog . teddy bear [SEP]: the stop behind a name is that name's [SEP].
    assert torch.allclose(hidden[0, 4:6], alone[1:], atol=1e-6)
    assert torch.allclose(hidden[2, 4:6], alone[1:], atol=1e-6)
    assert not torch.allclose(encoder()(tokens).hidden[0, 4], alone[1], atol=1e-4)


def test_every_token_has_a_row_and_padding_is_zero():
    read = encoder(per_sentence=True)
    tokens = read.tokenizer(['one. two.', 'a. b. c. d', '', '.. x'])
    features = read(tokens)
    rows = features.hidden.abs().sum(-1) > 0
    assert torch.equal(rows, tokens.mask)


def test_gradients_reach_the_words():
    read = encoder(per_sentence=True).train()
    read(read.tokenizer(['dog. dog. cat'])).hidden[0, 1, 0].backward()
    words = read.embeddings.word_embeddings.weight.grad.abs().sum(1)
    dog, cat = (read.tokenizer([name]).ids[0, 1] for name in ('dog', 'cat'))
    assert words[dog] > 0 and words[cat] == 0


def test_an_encoder_that_never_changes_reads_a_sentence_once():
    reader, plain = SentenceReader(BertTokenizer(), remembers=3), encoder(per_sentence=True)
    asked = []

    def read(ids, mask):
        asked.append(len(ids))
        return plain._read(ids, mask)

    for captions, reads in ((['red cup. dog', 'dog. cat'], [3]), (['dog. cat'], [3]),
                            (['dog. bird'], [3, 1]), (['dog'], [3, 1, 1])):
        tokens = plain.tokenizer(captions)
        with torch.no_grad():
            assert torch.allclose(reader(tokens, read), plain(tokens).hidden, atol=1e-6)
        assert asked == reads
