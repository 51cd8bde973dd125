"""Measurements of bsqcodec against other codecs; every table and plot comes from results/*.json."""
