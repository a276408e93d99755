"""The card of a model, in Markdown with pictures: what it is, what it learned from, how good it is, what it is for."""

from magenta_lite.interop.provenance import licence as licence
from magenta_lite.interop.provenance import trained_on as trained_on
