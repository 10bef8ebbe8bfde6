"""Demonstration datasets: the store on disk and the streams that training reads."""
