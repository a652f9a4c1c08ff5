"""``python -m webhook``: the command line without an installed script."""

import sys

from webhook.cli.main import main

sys.exit(main())
