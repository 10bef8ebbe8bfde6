"""Datasets of other formats, read episode by episode; bags are read by lram_ros.bags."""
