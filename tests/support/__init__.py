"""Fakes to test with: a disk that loses power, a broker that keeps a book, a link that breaks. Both interpreters."""
