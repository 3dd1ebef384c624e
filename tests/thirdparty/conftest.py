from __future__ import annotations

collect_ignore_glob = ["modelshelf-*"]  # other people's distributions bring tests of their own
