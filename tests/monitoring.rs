//! What an administrator watches tieline with: a real journal that is searched.

mod journal;
