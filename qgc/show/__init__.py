"""Showing: the book's figures (:mod:`qgc.show.plots`) and its widgets (:mod:`qgc.show.widgets`)."""
