"""One typed, validated set of parameters a notebook, and the profiles they start from."""
from nanoreason.params.sets import (AblateParams, BaseParams, DataParams, EvaluateParams,
                                    FiguresParams, MetricsParams, StudyParams, TrainParams,
                                    TutorParams, read_parameters)
from nanoreason.params.validation import ParameterError

__all__ = ["AblateParams", "BaseParams", "DataParams", "EvaluateParams",
           "FiguresParams", "MetricsParams", "ParameterError", "StudyParams", "TrainParams",
           "TutorParams", "read_parameters"]
