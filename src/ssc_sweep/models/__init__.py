"""Wing 2: the models. A model is one file and one YAML in conf/model; `contract` says what it must offer."""
