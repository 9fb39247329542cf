# The archive, which locks, and the write-ahead bucket, which must not; both in this region alone.

resource "aws_s3_bucket" "evidence" {
  bucket              = "${var.bucket_prefix}-evidence-${var.region}"
  object_lock_enabled = true
}

resource "aws_s3_bucket_versioning" "evidence" {
  bucket = aws_s3_bucket.evidence.id
  versioning_configuration {
    status = "Enabled"
  }
}

# A floor under what Muniment asks for with each object; the longer of both holds.
resource "aws_s3_bucket_object_lock_configuration" "evidence" {
  bucket = aws_s3_bucket.evidence.id
  rule {
    default_retention {
      mode = "COMPLIANCE"
      days = var.minimum_days
    }
  }
  depends_on = [aws_s3_bucket_versioning.evidence]
}

resource "aws_s3_bucket" "wal" {
  bucket = "${var.bucket_prefix}-wal-${var.region}"
}

resource "aws_s3_bucket_public_access_block" "all" {
  for_each                = { evidence = aws_s3_bucket.evidence.id, wal = aws_s3_bucket.wal.id }
  bucket                  = each.value
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "all" {
  for_each = { evidence = aws_s3_bucket.evidence.id, wal = aws_s3_bucket.wal.id }
  bucket   = each.value
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
    bucket_key_enabled = true
  }
}

# What a node may do: docs/reference/stores.md#permissions. Never s3:BypassGovernanceRetention.
data "aws_iam_policy_document" "node" {
  statement {
    actions = [
      "s3:ListBucket",
      "s3:ListBucketVersions",
      "s3:GetBucketVersioning",
      "s3:GetBucketObjectLockConfiguration",
    ]
    resources = [aws_s3_bucket.evidence.arn, aws_s3_bucket.wal.arn]
  }

  statement {
    actions = [
      "s3:PutObject",
      "s3:GetObject",
      "s3:GetObjectVersion",
      "s3:GetObjectRetention",
      "s3:PutObjectRetention",
      "s3:GetObjectLegalHold",
      "s3:PutObjectLegalHold",
    ]
    resources = ["${aws_s3_bucket.evidence.arn}/muniment/*"]
  }

  statement {
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = ["${aws_s3_bucket.evidence.arn}/muniment/check/*"]
  }

  statement {
    actions   = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.wal.arn}/muniment/*"]
  }
}

resource "aws_iam_role_policy" "node" {
  name   = "muniment-stores"
  role   = var.node_role
  policy = data.aws_iam_policy_document.node.json
}

output "stores" {
  description = "For muniment.toml"
  value = {
    store        = "s3://${aws_s3_bucket.evidence.id}/muniment"
    wal          = "s3://${aws_s3_bucket.wal.id}/muniment"
    region       = var.region
    jurisdiction = var.jurisdiction
  }
}
