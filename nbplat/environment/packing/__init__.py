"""How the bytes of an archive come about: files of packages, their layers, tar and zip."""
