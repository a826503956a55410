"""Tables, repositories, migrations, sealing and blobs: where everything is kept."""
