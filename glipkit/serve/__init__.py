"""One model behind a web page, an HTTP interface and a backend for annotation tools."""
