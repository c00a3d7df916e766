"""Search: corpora, retrievers, questions and the environments over them."""
