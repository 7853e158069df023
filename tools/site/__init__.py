"""The documentation as a site: pages that are written from the code, and what MkDocs needs to know."""
