"""The models (wing 2). A model is one file and one YAML in conf/model; `contract` defines what it must offer."""
