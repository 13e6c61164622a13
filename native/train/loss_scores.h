// Losses that are functions of a few scores of each row, in float64 on the host: the loss and its derivatives by the
// scores. Definitions, names and defaults are those of sentence-transformers. Lists of scores of several candidates are
// [candidates, rows], those of labels [rows, candidates] as they come from the data.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace embedcore {

struct ScoreLoss {
  double loss = 0;
  std::vector<double> dscores;  // in the order of the scores
};

using Scores = std::span<const float>;

// mean (s - label)^2
ScoreLoss cosine_similarity_loss(Scores scores, Scores labels);

// log(1 + sum over pairs of rows with label_i < label_j of exp(scale (s_i - s_j))). CoSENT of cosines, AnglE of angles.
ScoreLoss cosent_loss(Scores scores, Scores labels, double scale);

// The mean, or the sum, of (label d^2 + (1 - label) max(0, margin - d)^2) / 2 of distances d.
ScoreLoss contrastive_loss(Scores distances, Scores labels, double margin, bool size_average);

// The sum of d^2 over hard positives (label 1) and of max(0, margin - d)^2 over hard negatives (label 0). A negative is
// hard below the greatest distance of the positives, or below the mean of the negatives if there is at most one
// positive; a positive above the least distance of the negatives, or above the mean of the positives if there is at
// most one negative. Other labels count in nothing.
ScoreLoss online_contrastive_loss(Scores distances, Scores labels, double margin);

// mean max(0, positive - negative + margin) of distances [2, rows]: to the positives, then to the negatives
ScoreLoss triplet_loss(Scores distances, double margin);

// mean (s_0 - s_n - label_n)^2 over rows and the negatives n >= 1. labels [rows, candidates - 1] are margins, labels
// [rows, candidates] scores whose differences are the margins.
ScoreLoss margin_mse_loss(Scores scores, Scores labels, int64_t rows);

// The mean over rows of KL(teacher || student), times student_temperature^2, where both are softmaxes over a row's
// candidates of scores / temperature. labels [rows, candidates] are the teacher's scores.
ScoreLoss distill_kl_div_loss(Scores scores, Scores labels, int64_t rows, double student_temperature,
                              double teacher_temperature);

}  // namespace embedcore
