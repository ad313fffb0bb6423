"""first tables"""

import sqlalchemy as sa
from alembic import op

revision = '8d3f5b20c7ae'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('order_statuses_change_tag',
    sa.Column('change_tag_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('tag', sa.String(length=32), nullable=False),
    sa.CheckConstraint('change_tag_id = 1', name=op.f('ck_order_statuses_change_tag_one_row')),
    sa.PrimaryKeyConstraint('change_tag_id', name=op.f('pk_order_statuses_change_tag'))
    )
    op.create_table('order_statuses_freed_letter',
    sa.Column('type', sa.String(length=1), nullable=False),
    sa.Column('status', sa.String(length=1), nullable=False),
    sa.Column('freed_at', sa.DateTime(), nullable=False),
    sa.PrimaryKeyConstraint('type', 'status', name=op.f('pk_order_statuses_freed_letter'))
    )
    op.create_table('order_statuses_status',
    sa.Column('status_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('status', sa.String(length=1), nullable=False),
    sa.Column('type', sa.String(length=1), nullable=False),
    sa.Column('is_default', sa.String(length=1), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('params', sa.JSON(), nullable=False),
    sa.CheckConstraint("is_default IN ('Y', 'N')", name=op.f('ck_order_statuses_status_is_default')),
    sa.CheckConstraint('position BETWEEN 0 AND 999999', name=op.f('ck_order_statuses_status_position')),
    sa.PrimaryKeyConstraint('status_id', name=op.f('pk_order_statuses_status')),
    sa.UniqueConstraint('type', 'status', name=op.f('uq_order_statuses_status_type_status')),
    sqlite_autoincrement=True
    )
    op.create_table('order_statuses_store',
    sa.Column('store_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), autoincrement=False, nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.PrimaryKeyConstraint('store_id', name=op.f('pk_order_statuses_store'))
    )
    op.create_table('order_statuses_store_text',
    sa.Column('status_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('store_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('lang_code', sa.String(length=32), nullable=False),
    sa.Column('email_subj', sa.String(length=255), nullable=True),
    sa.Column('email_header', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['status_id'], ['order_statuses_status.status_id'], name=op.f('fk_order_statuses_store_text_status_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['store_id'], ['order_statuses_store.store_id'], name=op.f('fk_order_statuses_store_text_store_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('status_id', 'store_id', 'lang_code', name=op.f('pk_order_statuses_store_text'))
    )
    with op.batch_alter_table('order_statuses_store_text', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_order_statuses_store_text_store_id'), ['store_id'], unique=False)

    op.create_table('order_statuses_text',
    sa.Column('status_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('lang_code', sa.String(length=32), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('email_subj', sa.String(length=255), nullable=True),
    sa.Column('email_header', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['status_id'], ['order_statuses_status.status_id'], name=op.f('fk_order_statuses_text_status_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('status_id', 'lang_code', name=op.f('pk_order_statuses_text'))
    )
    op.create_table('order_statuses_user',
    sa.Column('user_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('email', sa.String(length=255), nullable=False),
    sa.Column('store_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('read_only', sa.Boolean(), nullable=False),
    sa.Column('is_active', sa.Boolean(), nullable=False),
    sa.ForeignKeyConstraint(['store_id'], ['order_statuses_store.store_id'], name=op.f('fk_order_statuses_user_store_id')),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_order_statuses_user')),
    sa.UniqueConstraint('email', name=op.f('uq_order_statuses_user_email'))
    )
    with op.batch_alter_table('order_statuses_user', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_order_statuses_user_store_id'), ['store_id'], unique=False)

    op.create_table('order_statuses_key',
    sa.Column('key_hash', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('created_on', sa.Date(), nullable=True),
    sa.ForeignKeyConstraint(['user_id'], ['order_statuses_user.user_id'], name=op.f('fk_order_statuses_key_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('key_hash', name=op.f('pk_order_statuses_key'))
    )
    with op.batch_alter_table('order_statuses_key', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_order_statuses_key_user_id'), ['user_id'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('order_statuses_key', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_order_statuses_key_user_id'))

    op.drop_table('order_statuses_key')
    with op.batch_alter_table('order_statuses_user', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_order_statuses_user_store_id'))

    op.drop_table('order_statuses_user')
    op.drop_table('order_statuses_text')
    with op.batch_alter_table('order_statuses_store_text', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_order_statuses_store_text_store_id'))

    op.drop_table('order_statuses_store_text')
    op.drop_table('order_statuses_store')
    op.drop_table('order_statuses_status')
    op.drop_table('order_statuses_freed_letter')
    op.drop_table('order_statuses_change_tag')
