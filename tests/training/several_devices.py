"""The results of one segmentation on 1, 2 and 8 devices, as JSON; run by `test_segmentation_evaluation`."""

import json

from tests.support.label_maps import Pictures, devices, evaluated

if __name__ == "__main__":
    from chanattn.training.views import Views

    source = Pictures([(9, 7)] * 10)
    views = (None, Views(flip=True, scales=(1.0, 2.0), window=(8, 8)))
    found = {n: [evaluated(source, 8, devices(n), views=v) for v in views] for n in (1, 2, 8)}
    print(json.dumps(found))
