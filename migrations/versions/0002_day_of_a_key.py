"""the day on which a key was made"""

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('order_statuses_key', sa.Column('created_on', sa.Date(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('order_statuses_key', schema=None) as batch_op:
        batch_op.drop_column('created_on')
